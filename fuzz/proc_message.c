/* What the spawner, who may be root, hears from the gateway: what it accepts has a form of its own,
 * and every text in it ends inside the packet.
 * SPDX-License-Identifier: MIT */
#include "fuzz.h"
#include "proc/message.h"

static void check_strings(const struct strings *s)
{
    uint32_t count = 0;
    for (const char *at = NULL; strings_next(s, &at); count++)
        HOLDS(at + strlen(at) < s->p + s->bytes);
    HOLDS(count == s->count);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    static char one[MESSAGE_MAX];
    struct message m, again;
    struct slice packet = slice_of((const char *)data, n);
    if (message_read(packet, &m))
        return 0;
    if (m.type == MESSAGE_START) {
        check_strings(&m.order.env);
        for (const char *at = NULL; strings_next(&m.order.env, &at);)
            HOLDS(message_is_cgi_variable(at));
    }
    if (m.type == MESSAGE_DEFINE) {
        check_strings(&m.def.argv);
        check_strings(&m.def.env);
    }
    size_t size = message_write(&m, one, sizeof(one));
    HOLDS(size == n || n > MESSAGE_MAX);
    if (size)
        HOLDS(message_read(slice_of(one, size), &again) == NULL);
    return 0;
}
