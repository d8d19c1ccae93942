/* Heads of the PROXY protocol.
 * SPDX-License-Identifier: MIT */
#include "codec/proxy_head.h"
#include "fuzz.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    struct proxy_head head, again;
    struct fault f;
    size_t taken, taken_again;
    struct slice in = slice_of((const char *)data, n);
    enum parse verdict = proxy_head_parse(in, &head, &taken, &f);
    HOLDS(verdict != PARSE_DONE || (taken > 0 && taken <= n && taken <= PROXY_HEAD_MAX));
    HOLDS(verdict != PARSE_MORE || n < PROXY_HEAD_MAX);
    if (verdict != PARSE_DONE || !head.is_known)
        return 0;
    for (int version = 1; version <= 2; version++) {
        char bytes[PROXY_PUT_MAX];
        size_t put = proxy_head_put(bytes, version, (const struct sockaddr *)&head.client,
                                    (const struct sockaddr *)&head.server);
        HOLDS(proxy_head_parse(slice_of(bytes, put), &again, &taken_again, &f) == PARSE_DONE);
        HOLDS(taken_again == put && again.is_known);
        HOLDS(memcmp(&head.client, &again.client, sizeof(head.client)) == 0);
    }
    return 0;
}
