/* Days are counted from the civil calendar by arithmetic: no time zone, no locale, no libc call.
 * SPDX-License-Identifier: MIT */
#include "http/date.h"

#include <stdint.h>

#include "http/date_internal.h"

static const char days[] = "SunMonTueWedThuFriSat";
static const char months[] = "JanFebMarAprMayJunJulAugSepOctNovDec";

enum { DAY_S = 86400 };

/* Days since 1970-01-01 of a proleptic Gregorian date. Years are counted from March so that the
 * leap day is the last of them. */
static int64_t days_of(int64_t year, int month, int day)
{
    year -= month <= 2;
    int64_t era = (year >= 0 ? year : year - 399) / 400;
    int64_t year_of_era = year - era * 400;
    int64_t day_of_year = (153 * (month + (month > 2 ? -3 : 9)) + 2) / 5 + day - 1;
    int64_t day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;
    return era * 146097 + day_of_era - 719468;
}

static void date_of(int64_t days_since, int64_t *year, int *month, int *day)
{
    int64_t z = days_since + 719468;
    int64_t era = (z >= 0 ? z : z - 146096) / 146097;
    int64_t day_of_era = z - era * 146097;
    int64_t year_of_era =
        (day_of_era - day_of_era / 1460 + day_of_era / 36524 - day_of_era / 146096) / 365;
    int64_t day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    int64_t from_march = (5 * day_of_year + 2) / 153;
    *day = (int)(day_of_year - (153 * from_march + 2) / 5 + 1);
    *month = (int)(from_march < 10 ? from_march + 3 : from_march - 9);
    *year = year_of_era + era * 400 + (*month <= 2);
}

static char *put_two(char *p, int v)
{
    p[0] = (char)('0' + v / 10 % 10);
    p[1] = (char)('0' + v % 10);
    return p + 2;
}

static char *put_text(char *p, const char *text, size_t n)
{
    memcpy(p, text, n);
    return p + n;
}

void date_put(char *p, int64_t wall_s)
{
    int64_t day_count = wall_s / DAY_S, year;
    int second = (int)(wall_s % DAY_S), month, day;
    if (second < 0) {
        second += DAY_S;
        day_count--;
    }
    date_of(day_count, &year, &month, &day);
    int weekday = (int)(((day_count + 4) % 7 + 7) % 7); /* 1970-01-01 was a Thursday */
    p = put_text(p, days + 3 * weekday, 3);
    p = put_text(p, ", ", 2);
    p = put_text(put_two(p, day), " ", 1);
    p = put_text(put_text(p, months + 3 * (month - 1), 3), " ", 1);
    p = put_two(put_two(p, (int)(year / 100)), (int)(year % 100));
    p = put_text(put_two(put_text(p, " ", 1), second / 3600), ":", 1);
    p = put_text(put_two(p, second / 60 % 60), ":", 1);
    put_text(put_two(p, second % 60), " GMT", 4);
}

static int number(const char *p, int n)
{
    int v = 0;
    for (int i = 0; i < n; i++)
        v = v * 10 + (p[i] == ' ' ? 0 : p[i] - '0'); /* asctime pads the day with a blank */
    return v;
}

static int month_number(const char *p)
{
    for (int m = 0; m < 12; m++)
        if (memcmp(months + 3 * m, p, 3) == 0)
            return m + 1;
    return 0;
}

static int month_length(int year, int month)
{
    static const uint8_t lengths[] = {31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
    bool leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
    return lengths[month - 1] + (month == 2 && leap);
}

bool date_parse(struct slice s, int64_t *wall_s)
{
    struct date_parts at;
    if (!date_lex(s, &at))
        return false;
    int year = number(at.year, at.year_digits), month = month_number(at.month);
    /* RFC 9110 5.6.7 wants two digits to mean the last 50 years as seen from now; these dates have
     * not been made since 1999, and a fixed pivot needs no clock. */
    if (at.year_digits == 2)
        year += year >= 70 ? 1900 : 2000;
    int day = number(at.day, 2), hour = number(at.time, 2);
    int minute = number(at.time + 3, 2), second = number(at.time + 6, 2);
    if (month == 0 || day < 1 || day > month_length(year, month))
        return false;
    if (hour > 23 || minute > 59 || second > 60) /* 60: a leap second */
        return false;
    *wall_s = days_of(year, month, day) * DAY_S + hour * 3600 + minute * 60 + second;
    return true;
}
