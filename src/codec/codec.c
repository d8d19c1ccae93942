/* SPDX-License-Identifier: MIT */
#include "codec/codec.h"

#define CODEC(identifier) extern const struct back_codec identifier;
#include "codec/codecs.def"
#undef CODEC

static const struct back_codec *const codecs[] = {
#define CODEC(identifier) &identifier,
#include "codec/codecs.def"
#undef CODEC
    NULL};

const struct back_codec *codec_find(struct slice name)
{
    for (size_t i = 0; codecs[i]; i++)
        if (slice_eq(name, slice_str(codecs[i]->name)))
            return codecs[i];
    return NULL;
}

const struct back_codec *codec_at(size_t i)
{
    return codecs[i];
}
