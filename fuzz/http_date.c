/* What is written is read back; what is read is a time that can be written.
 * SPDX-License-Identifier: MIT */
#include "fuzz.h"
#include "http/date.h"

static void check_round_trip(int64_t at)
{
    char text[DATE_LEN];
    int64_t back;
    date_put(text, at);
    HOLDS(date_parse(slice_of(text, DATE_LEN), &back) && back == at);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    static const int64_t year_0 = INT64_C(-62167219200), year_9999_end = INT64_C(253402300799);
    int64_t at = 0;
    char *exact = malloc(n ? n : 1);
    memcpy(exact, data, n);
    if (date_parse(slice_of(exact, n), &at)) {
        HOLDS(at >= year_0 && at <= year_9999_end + 1); /* a leap second may end the year */
        if (at <= year_9999_end)
            check_round_trip(at);
    }
    memcpy(&at, exact, n < sizeof(at) ? n : sizeof(at));
    free(exact);
    if (at >= year_0 && at <= year_9999_end)
        check_round_trip(at);
    return 0;
}
