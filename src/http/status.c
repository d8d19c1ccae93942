/* SPDX-License-Identifier: MIT */
#include "http/status.h"

const char *status_reason(uint16_t status)
{
    switch (status) {
#define STATUS(code, reason)                                                                       \
    case code:                                                                                     \
        return reason;
#include "http/status.def"
#undef STATUS
    }
    return "";
}
