/* SPDX-License-Identifier: MIT */
#include "core/error_page.h"

#include "base/text.h"
#include "http/accept.h"
#include "http/status.h"

/* What a visitor can do with it. No row: the sentence of its class. */
static const struct sentence {
    uint16_t status;
    const char *text;
} sentences[] = {
    {400, "The request is not valid HTTP and was not passed on."},
    {401, "This page asks for a name and a password."},
    {403, "This page may not be seen from here."},
    {404, "There is nothing at this address."},
    {405, "This page cannot be used in this way."},
    {408, "The request took too long to arrive."},
    {411, "The request has a body but does not say how long it is."},
    {413, "What was sent is larger than this site accepts."},
    {414, "The address is longer than this site accepts."},
    {415, "This site cannot read what was sent."},
    {416, "The part that was asked for does not exist."},
    {417, "The request expects something that this site does not do."},
    {421, "This site does not answer for that name."},
    {426, "This page needs another protocol."},
    {429, "Too many requests came from here. Please wait a moment."},
    {431, "The request's header is larger than this site accepts."},
    {500, "Something went wrong inside this site."},
    {501, "The request asks for something that this site does not do."},
    {502, "The application behind this site could not be reached or gave no valid answer."},
    {503, "This site cannot answer at the moment. Please try again soon."},
    {504, "The application behind this site did not answer in time."},
    {505, "This site does not speak that version of HTTP."},
};

const char *error_page_sentence(uint16_t status)
{
    for (size_t i = 0; i < sizeof(sentences) / sizeof(sentences[0]); i++) {
        if (sentences[i].status == status)
            return sentences[i].text;
    }
    return status < 500 ? "This site cannot answer the request."
                        : "Something went wrong inside this site.";
}

enum error_format error_page_format(const struct fields *fields)
{
    static const struct slice html[] = {SLICE_INIT("text/html"),
                                        SLICE_INIT("application/xhtml+xml")};
    struct accept accept = {.names = html, .n = 2};
    accept_types(&accept, fields);
    return accept.weight[0] || accept.weight[1] ? ERROR_HTML : ERROR_PLAIN;
}

struct slice error_page_type(enum error_format format)
{
    return format == ERROR_HTML ? SLICE("text/html; charset=utf-8")
                                : SLICE("text/plain; charset=utf-8");
}

static void put_title(struct text *t, uint16_t status)
{
    text_dec(t, status);
    struct slice reason = slice_str(status_reason(status));
    if (reason.n)
        text_char(t, ' ');
    text_html(t, reason);
}

static void put_html(struct text *t, uint16_t status, uint64_t id)
{
    text_lit(t, "<!doctype html>\n<html lang=\"en\">\n<meta charset=\"utf-8\">\n"
                "<meta name=\"viewport\" content=\"width=device-width\">\n<title>");
    put_title(t, status);
    text_lit(t, "</title>\n<style>\n"
                ":root { color-scheme: light dark }\n"
                "body { font: 1.1rem/1.5 system-ui, sans-serif; max-width: 34em; "
                "margin: 18vh auto; padding: 0 1.5em }\n"
                "h1 { font-size: 1.5rem }\nsmall { opacity: .7 }\n"
                "</style>\n<h1>");
    put_title(t, status);
    text_lit(t, "</h1>\n<p>");
    text_html(t, slice_str(error_page_sentence(status)));
    text_lit(t, "</p>\n");
    if (!id)
        return;
    text_lit(t, "<p><small>Request <code>");
    text_id(t, id);
    text_lit(t, "</code></small></p>\n");
}

static void put_plain(struct text *t, uint16_t status, uint64_t id)
{
    put_title(t, status);
    text_char(t, '\n');
    text_put(t, slice_str(error_page_sentence(status)));
    text_char(t, '\n');
    if (!id)
        return;
    text_lit(t, "Request ");
    text_id(t, id);
    text_char(t, '\n');
}

size_t error_page_put(char *p, size_t n, enum error_format format, uint16_t status, uint64_t id)
{
    struct text t = text_of(p, n);
    if (format == ERROR_HTML)
        put_html(&t, status, id);
    else
        put_plain(&t, status, id);
    return text_slice(&t).n;
}
