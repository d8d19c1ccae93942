/* Responses of HTTP/1.1 backends.
 * SPDX-License-Identifier: MIT */
#include "codec_peer.h"

extern const struct back_codec h1_back_codec;

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    return fuzz_codec(&h1_back_codec, data, n);
}
