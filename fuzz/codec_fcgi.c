/* FastCGI: records of an application.
 * SPDX-License-Identifier: MIT */
#include "codec_peer.h"

extern const struct back_codec fcgi_back_codec;

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    return fuzz_codec(&fcgi_back_codec, data, n);
}
