"""A Django application mounted under a prefix, and under another name: its redirects and cookies come
back right, whether it knows where it is or not."""

import http.cookiejar
import shutil
import urllib.request

import pytest

from harness.apps import PATH

pytestmark = pytest.mark.serial

UWSGI = shutil.which("uwsgi-core", path=PATH)


POOLS = """
pool plain {{
    spawn /usr/bin/gunicorn --chdir {here}/apps -k gthread --threads 4 mounted:application {{
        socket fd3;  processes 1;  concurrency 4
    }}
}}
pool scripted {{
    protocol scgi
    spawn {uwsgi} --plugin python3 --chdir {here}/apps --module mounted --protocol scgi --socket fd://0 \
        --die-on-term --need-app {{ processes 1 }}
}}
listen 127.0.0.1:0
"""
SITE = """
site test.local {
    route /app/*    { strip-prefix /app;  proxy plain }
    route /scgi/*   { strip-prefix /scgi;  proxy scripted }
    route /named/* {
        strip-prefix /named
        set-host inside.internal:8000
        cookie-flags secure samesite=strict
        proxy plain
    }
    route /raw/*    { strip-prefix /raw;  map-back off;  proxy plain }
}
"""


@pytest.fixture
def site(gateway, here):
    g = gateway(POOLS.format(here=here, uwsgi=UWSGI).replace("\\\n", " ") + SITE)
    g.check_fds = False
    return g


def browse(g, path):
    """What a browser with a cookie jar ends up with: the last URL, its text, and the cookies."""
    jar = http.cookiejar.CookieJar()
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({"http": g.url}),
                                         urllib.request.HTTPCookieProcessor(jar))
    with opener.open(f"http://test.local{path}", timeout=30) as response:
        return response.geturl(), response.read().decode(), list(jar)


def test_an_application_that_knows_nothing_of_its_prefix(site):
    url, text, cookies = browse(site, "/app/login/?name=joe")
    assert url == "http://test.local/app/home/" and text == "joe at /home/ of test.local"
    assert [(c.path, c.domain) for c in cookies] == [("/app", "test.local")]


def test_an_application_that_makes_links_by_script_name(site):
    url, text, cookies = browse(site, "/scgi/login/?name=joe")
    assert url == "http://test.local/scgi/home/" and text == "joe at /scgi/home/ of test.local"
    assert [c.path for c in cookies] == ["/scgi"]


def test_a_redirect_to_its_own_host_becomes_one_to_ours(site):
    c = site.client(timeout=30)
    m = c.get("/named/absolute/", host="test.local")
    assert m.status == 302 and m["location"] == "http://test.local/named/home/"
    m = c.get("/named/login/?name=joe", host="test.local")
    assert m["location"] == "/named/home/"
    cookie = m["set-cookie"]
    assert "; Path=/named; SameSite=Lax; Secure" in cookie and cookie.count("SameSite") == 1
    assert c.get("/named/login", host="test.local")["location"] == "/named/login/"


def test_nothing_is_mapped_where_that_is_off(site):
    m = site.client(timeout=30).get("/raw/login/?name=joe", host="test.local")
    assert m["location"] == "/home/" and "Path=/;" in m["set-cookie"]
