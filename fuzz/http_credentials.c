/* What comes out was in, and nothing that could be mistaken for an end or a line.
 * SPDX-License-Identifier: MIT */
#include "fuzz.h"
#include "http/credentials.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    struct slice user, password;
    char *exact = malloc(n ? n : 1), *room = malloc(n ? n : 1);
    memcpy(exact, data, n);
    if (credentials_basic(slice_of(exact, n), room, &user, &password)) {
        HOLDS(user.p == room && password.p == user.p + user.n + 1);
        HOLDS(user.n + 1 + password.n <= n * 3 / 4);
        HOLDS(slice_find(user, ':') == user.n);
        for (size_t i = 0; i < user.n + 1 + password.n; i++)
            HOLDS((unsigned char)room[i] >= 0x20 && room[i] != 0x7f);
    }
    free(exact);
    free(room);
    return 0;
}
