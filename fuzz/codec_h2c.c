/* HTTP/2 backends.
 * SPDX-License-Identifier: MIT */
#include "codec_mux.h"

extern const struct back_codec h2c_back_codec;

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    return fuzz_mux(&h2c_back_codec, "\0\0\0\4\0\0\0\0", 9, data, n);
}
