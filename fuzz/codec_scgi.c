/* Heads and bodies of SCGI, which are those of CGI.
 * SPDX-License-Identifier: MIT */
#include "codec_peer.h"

extern const struct back_codec scgi_back_codec;

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    return fuzz_codec(&scgi_back_codec, data, n);
}
