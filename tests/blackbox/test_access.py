"""Who gets in: addresses, also behind trusted proxies."""

from harness import serve
from harness.admin import sluice

SITE = """site * {
    deny 127.0.0.3
    route /inside*  { allow 127.0.0.1 10.0.0.0/8; proxy app }
    route /open*    { allow all; proxy app }
    route /closed*  { deny all; proxy app }
    route /fine*    { deny 127.0.0.2; allow 127.0.0.0/30; deny all; proxy app }
    route /hop      { reroute /closed }
    route *         { proxy app }
}"""


def statuses(g, target, *sources, fields=""):
    found = []
    for source in sources:
        with g.client(source=source) as c:
            found.append(c.get(target, fields).status)
    return found


def test_the_first_rule_that_matches_counts_and_none_is_the_opposite_of_the_last(proxy):
    g = proxy(then=serve(), site=SITE)
    ours = ["127.0.0.1", "127.0.0.2", "127.0.0.3", "127.0.0.4"]
    assert statuses(g, "/", *ours) == [200, 200, 403, 200]
    assert statuses(g, "/inside/x", *ours) == [200, 403, 403, 403]
    assert statuses(g, "/open", *ours) == [200, 200, 200, 200]
    assert statuses(g, "/closed", *ours) == [403, 403, 403, 403]
    assert statuses(g, "/fine", *ours) == [200, 403, 200, 403]


def test_nothing_of_a_refused_request_reaches_the_backend(proxy):
    g = proxy(then=serve(), site=SITE)
    with g.client() as c:
        assert c.post("/closed", b"x" * 100).status == 403
        assert c.post("/", b"x" * 100).status == 200, "the connection goes on"
    assert [m.target for m in g.backend.requests] == ["/"]
    line = g.access(2)[0]
    assert line["status"] == 403 and line["reason"] == "the client's address is denied"


def test_a_backend_sees_the_path_that_was_matched(proxy):
    g = proxy(then=serve(), site=SITE)
    for target in ("/closed/../open?a=/../b", "/closed/%2e%2E/open?a=/../b", "/closed/x%2f..%2F..%2fopen?a=/../b",
                   "http://test/closed/../open?a=/../b"):
        assert statuses(g, target, "127.0.0.1") == [200]
        assert g.backend.requests.pop().target == "/open?a=/../b", target
    for target in ("/open/../closed", "/open%2f..%2fclosed", "//closed", "/%63losed", "/x/..//closed/"):
        assert statuses(g, target, "127.0.0.1") == [403], target
    assert statuses(g, "/open//a%2fb%20/..c", "127.0.0.1") == [200]
    assert g.backend.requests.pop().target == "/open//a%2fb%20/..c", "nothing else is changed"


def test_a_way_round_by_an_internal_redirect_is_closed_too(proxy):
    g = proxy(then=serve(), site=SITE)
    assert g.get("/hop").status == 403


def test_behind_a_trusted_proxy_the_one_it_names_counts(proxy):
    g = proxy(then=serve(), site=SITE, gateway=["trusted-proxies 127.0.0.9/32 10.9.0.0/16"])

    def asked(*lines, source="127.0.0.9"):
        return statuses(g, "/inside", source, fields="".join(f"X-Forwarded-For: {x}\r\n" for x in lines))[0]
    assert asked("10.1.2.3") == 200
    assert asked("192.0.2.7") == 403
    assert asked("10.1.2.3, 192.0.2.7") == 403, "what stands in front may be a lie"
    assert asked("192.0.2.7, 10.1.2.3") == 200
    assert asked("10.1.2.3", "10.9.1.1") == 200, "through two proxies"
    assert asked("10.1.2.3:4711") == 200
    assert asked("10.1.2.3, nonsense") == 403
    assert asked("10.1.2.3", source="127.0.0.4") == 403, "it is not trusted"
    served = [line["client"] for line in g.access(8) if line["status"] == 200]
    assert served.count("10.1.2.3") == 4, "each worker writes its own records: their order is no matter"


def test_a_trusted_proxy_may_say_it_in_forwarded(proxy):
    g = proxy(then=serve(), site=SITE, gateway=["trusted-proxies 127.0.0.9/32", "client-from forwarded"])

    def asked(value, more=""):
        return statuses(g, "/inside", "127.0.0.9", fields=f"Forwarded: {value}\r\n{more}")[0]
    assert asked("for=10.1.2.3;proto=https") == 200
    assert asked('for=192.0.2.7, for="10.1.2.3:47"') == 200
    assert asked("for=10.1.2.3, for=192.0.2.7") == 403
    assert asked("for=10.1.2.3;for=10.1.2.3") == 403, "it does not follow the grammar"
    assert asked("for=unknown", "X-Forwarded-For: 10.1.2.3\r\n") == 403, "the other field does not count"


def test_explain_tells_who_is_let_in(proxy):
    g = proxy(then=serve(), site=SITE)

    def explain(path, *more):
        return sluice(g, "explain", "-c", "sluice.conf", *more, "GET", path).stdout
    assert "access: denied (403) by deny 127.0.0.3" in explain("/", "--client", "127.0.0.3")
    assert "access: allowed by no rule: the opposite of the last" in explain("/", "--client", "127.0.0.1")
    assert "access: allowed by allow 10.0.0.0/8" in explain("/inside", "--client", "10.255.0.1")
