/* SPDX-License-Identifier: MIT */
#include "core/grpc.h"

#include "base/num.h"
#include "core/answer.h"
#include "core/error_page.h"
#include "core/exchange.h"
#include "http/status.h"

/* Of gRPC's statuses, those that stand for one of HTTP's. */
enum grpc_status {
    GRPC_UNKNOWN = 2,
    GRPC_PERMISSION_DENIED = 7,
    GRPC_RESOURCE_EXHAUSTED = 8,
    GRPC_UNIMPLEMENTED = 12,
    GRPC_INTERNAL = 13,
    GRPC_UNAVAILABLE = 14,
    GRPC_UNAUTHENTICATED = 16,
};

static const struct {
    uint16_t http;
    enum grpc_status grpc;
} statuses[] = {
    {400, GRPC_INTERNAL},           {401, GRPC_UNAUTHENTICATED},    {403, GRPC_PERMISSION_DENIED},
    {404, GRPC_UNIMPLEMENTED},      {413, GRPC_RESOURCE_EXHAUSTED}, {429, GRPC_UNAVAILABLE},
    {431, GRPC_RESOURCE_EXHAUSTED}, {500, GRPC_INTERNAL},           {501, GRPC_UNIMPLEMENTED},
    {502, GRPC_UNAVAILABLE},        {503, GRPC_UNAVAILABLE},        {504, GRPC_UNAVAILABLE},
};

static enum grpc_status status_for(uint16_t http)
{
    for (unsigned i = 0; i < sizeof(statuses) / sizeof(statuses[0]); i++)
        if (statuses[i].http == http)
            return statuses[i].grpc;
    return GRPC_UNKNOWN;
}

bool grpc_asks(const struct exchange *x)
{
    static const struct slice type = SLICE_INIT("application/grpc");
    struct slice value = fields_value(&x->req.fields, FIELD_CONTENT_TYPE);
    if (!x->req.is_h2 || !slice_ieq(slice_first(value, type.n), type))
        return false;
    struct slice rest = slice_skip(value, type.n);
    return !rest.n || rest.p[0] == '+' || rest.p[0] == ';' || rest.p[0] == ' ';
}

static void add(struct exchange *x, struct slice name, struct slice value)
{
    fields_add(&x->resp.fields, &x->arena, FIELD_OTHER, name, value);
}

void grpc_answer_error(struct exchange *x, uint16_t status)
{
    char *digits = arena_alloc(&x->arena, NUM_DEC_MAX);
    x->resp.status = 200;
    x->resp.reason = slice_str(status_reason(200));
    answer_field(x, FIELD_CONTENT_TYPE, SLICE("application/grpc"));
    add(x, SLICE("Grpc-Status"), slice_of(digits, num_put_dec(digits, status_for(status))));
    add(x, SLICE("Grpc-Message"), slice_str(error_page_sentence(status)));
}
