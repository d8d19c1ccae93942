/* FastCGI applications that multiplex.
 * SPDX-License-Identifier: MIT */
#include "codec_mux.h"

extern const struct back_codec fcgi_back_codec;

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    return fuzz_mux(&fcgi_back_codec, "", 0, data, n);
}
