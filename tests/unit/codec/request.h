/* A small request for tests of codecs: "GET /a.b" to host "h", to be added to.
 * SPDX-License-Identifier: MIT */
#ifndef TESTS_CODEC_REQUEST_H
#define TESTS_CODEC_REQUEST_H

#include "base/mem.h"
#include "codec/codec.h"

struct test_request {
    struct request_head head;
    struct cgi_info cgi;
    struct codec_request codec;
    struct field fields[400];
};

static inline void request_init(struct test_request *r, enum method method)
{
    static const struct slice names[] = {[METHOD_GET] = SLICE_INIT("GET"),
                                         [METHOD_HEAD] = SLICE_INIT("HEAD"),
                                         [METHOD_POST] = SLICE_INIT("POST")};
    r->head = (struct request_head){
        .method = method,
        .method_text = names[method],
        .target = SLICE("/a.b"),
        .path = SLICE("/a.b"),
        .minor = 1,
        .fields = {.v = r->fields, .cap = 400},
    };
    r->cgi = (struct cgi_info){.path = SLICE("/a.b"), .path_info = SLICE("/a.b")};
    r->codec = (struct codec_request){
        .head = &r->head,
        .framing = {.kind = BODY_NONE},
        .target = r->head.target,
        .host = SLICE("h"),
        .cgi = &r->cgi,
        .keep = true,
    };
}

/* The texts must outlive r. */
static inline void request_add(struct test_request *r, const char *name, const char *value)
{
    fields_add(&r->head.fields, NULL, field_lookup(slice_str(name)), slice_str(name),
               slice_str(value));
}

#endif
