"""Whole PHP applications: phpMyAdmin's login page, and WordPress from its installation to a post by its pretty name."""

import getpass
import html
import os
import pathlib
import re
import shutil
import subprocess
import tempfile
import urllib.parse

import pytest

from conftest import make_config
from harness import wait_for
from harness.apps import PATH, PHP_CGI, is_listening

SITE = """site * {{
    root {root}
    index index.php
    {routes}
}}
"""


@pytest.fixture
def php(gateway, tmp_path):
    def start(root, *routes, processes=2):
        g = gateway(make_config(site=SITE.format(root=root, routes="\n    ".join(routes)), pool=[
            "protocol fastcgi",
            f"spawn {PHP_CGI} -d session.save_path={tmp_path} -d log_errors=1 -d display_errors=0 {{\n"
            f" processes {processes}\n }}"]))
        g.check_fds = False
        return g
    return start


def assets(m, base="/"):
    """The targets of all that a page wants loaded from here."""
    text = m.body.decode()
    found = re.findall(r"""<(?:script|img)\b[^>]*\bsrc=["']([^"']+)|<link\b[^>]*\bhref=["']([^"']+)""", text)
    targets = {urllib.parse.urljoin(base, html.unescape(a or b)).removeprefix("http://blog.test") for a, b in found}
    return sorted(t for t in targets if t.startswith("/") and not t.startswith("//"))


def check_assets(c, m, base="/", least=5):
    targets = assets(m, base)
    assert len(targets) >= least, m.body
    wrong = {t: r.status for t in targets if (r := c.get(t)).status != 200 or not r.body}
    assert not wrong, wrong
    types = {t.split("?")[0].rsplit(".", 1)[-1]: c.get(t)["content-type"] for t in targets}
    assert types["css"].startswith("text/css") and "javascript" in types["js"]


def test_phpmyadmin_shows_its_login_page_with_all_its_assets(php):
    g = php("/usr/share/phpmyadmin", "route / *.php { proxy app }", "route * { files { symlinks follow } }")
    c = g.client(timeout=30)
    m = c.get("/")
    assert m.status == 200 and b'id="login_form"' in m.body
    check_assets(c, m, least=20)
    cookies = "; ".join(v.split(";")[0] for v in m.all("set-cookie"))
    token = re.search(rb'name="token" value="([^"]+)"', m.body)[1].decode()
    form = urllib.parse.urlencode({"pma_username": "nobody", "pma_password": "x", "server": 1, "token": token})
    m = c.post("/index.php?route=/", form, f"Cookie: {cookies}\r\nContent-Type: application/x-www-form-urlencoded\r\n")
    assert m.status == 200 and b"Cannot log in" in m.body       # for there is no database


# ---- WordPress ----

@pytest.fixture
def database(started):
    """A MariaDB of our own on a unix socket; its path."""
    folder = pathlib.Path(tempfile.mkdtemp(prefix="db-"))
    mariadbd = shutil.which("mariadbd", path=PATH)
    options = [f"--datadir={folder}/data", f"--user={getpass.getuser()}"]
    subprocess.run(["mariadb-install-db", "--no-defaults", *options, "--auth-root-authentication-method=normal",
                    "--skip-test-db"], check=True, capture_output=True, env={**os.environ, "PATH": PATH})
    p = subprocess.Popen([mariadbd, "--no-defaults", *options, f"--socket={folder}/s", "--skip-networking",
                          f"--pid-file={folder}/pid", "--innodb-buffer-pool-size=16M", "--innodb-flush-method=nosync"],
                         stdin=subprocess.DEVNULL, stderr=open(folder / "log", "wb"))
    wait_for(lambda: is_listening(f"{folder}/s"), "MariaDB to listen", 30)

    def sql(text):
        return subprocess.run(["mariadb", "--no-defaults", "-S", folder / "s", "-u", "root", "-N", "-e", text],
                              check=True, capture_output=True, text=True).stdout
    sql("CREATE DATABASE wp; CREATE USER wp@localhost IDENTIFIED BY 'secret'; GRANT ALL ON wp.* TO wp@localhost")
    sql.socket = folder / "s"
    yield sql
    p.terminate()
    p.wait(20)
    shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture
def wordpress(database, tmp_path):
    root = tmp_path / "wordpress"
    subprocess.run(["cp", "-rL", "/usr/share/wordpress", root], check=True)
    (root / "wp-config.php").write_text(f"""<?php
define('DB_NAME', 'wp'); define('DB_USER', 'wp'); define('DB_PASSWORD', 'secret');
define('DB_HOST', 'localhost:{database.socket}'); define('DB_CHARSET', 'utf8mb4'); define('DB_COLLATE', '');
define('WP_DEFAULT_THEME', 'tiny'); define('WP_HTTP_BLOCK_EXTERNAL', true); define('DISABLE_WP_CRON', true); define('AUTOMATIC_UPDATER_DISABLED', true);
foreach (['AUTH', 'SECURE_AUTH', 'LOGGED_IN', 'NONCE'] as $k) {{ define($k . '_KEY', $k); define($k . '_SALT', $k); }}
$table_prefix = 'wp_';
if (!defined('ABSPATH')) define('ABSPATH', __DIR__ . '/');
require_once ABSPATH . 'wp-settings.php';
""")
    theme = root / "wp-content" / "themes" / "tiny"
    theme.mkdir(parents=True)
    (theme / "style.css").write_text("/* Theme Name: Tiny */ body { margin: 2em }\n")
    (theme / "index.php").write_text("""<!doctype html><html><head><title><?php bloginfo('name') ?></title>
<link rel="stylesheet" href="<?php echo get_stylesheet_uri() ?>"><?php wp_head() ?></head><body>
<?php while (have_posts()) { the_post(); ?><h1><?php the_title() ?></h1><?php the_content(); } ?></body></html>
""")
    return root


@pytest.mark.alone
@pytest.mark.plain
def test_wordpress_is_installed_and_shows_a_post_by_its_pretty_name(php, database, wordpress):
    g = php(wordpress, "route *.php { proxy app }", "route * { files else /index.php }")
    c, host = g.client(timeout=60), "blog.test"
    m = c.get("/", host=host)
    assert m.status == 302 and m["location"] == "http://blog.test/wp-admin/install.php"
    m = c.get("/wp-admin/install.php", host=host)
    assert m.status == 200 and (b'id="language"' in m.body or b'name="weblog_title"' in m.body)
    form = urllib.parse.urlencode({
        "weblog_title": "A Blog", "user_name": "me", "admin_password": "a strong one 1!",
        "admin_password2": "a strong one 1!", "admin_email": "me@blog.test", "blog_public": 1, "language": ""})
    m = c.post("/wp-admin/install.php?step=2", form, "Content-Type: application/x-www-form-urlencoded\r\n", host=host)
    assert m.status == 200 and b"wp-login.php" in m.body, m.body

    m = c.get("/", host=host)
    assert m.status == 200 and b"A Blog" in m.body
    check_assets(c, c.get("/wp-login.php", host=host))
    database("UPDATE wp.wp_options SET option_value='/%year%/%postname%/' WHERE option_name='permalink_structure';"
             "UPDATE wp.wp_options SET option_value='' WHERE option_name='rewrite_rules'")
    year = database("SELECT YEAR(post_date) FROM wp.wp_posts WHERE post_name='hello-world'").strip()
    m = c.get(f"/{year}/hello-world/", host=host)
    assert m.status == 200 and b"Hello world!" in m.body and b"Welcome to WordPress" in m.body
    m = c.get(f"/{year}/hello-world", host=host)
    assert m.status == 301 and m["location"] == f"http://blog.test/{year}/hello-world/"
    assert c.get(f"/{year}/no-such-post/", host=host).status == 404
    m = c.get("/wp-includes/css/dashicons.min.css", host=host)
    assert m.status == 200 and m["etag"] and m["content-type"].startswith("text/css")

    form = urllib.parse.urlencode({"log": "me", "pwd": "a strong one 1!", "testcookie": 1})
    m = c.post("/wp-login.php", form, "Content-Type: application/x-www-form-urlencoded\r\n"
               "Cookie: wordpress_test_cookie=WP%20Cookie%20check\r\n", host=host)
    assert m.status == 302 and m["location"] == "http://blog.test/wp-admin/"
    cookies = "; ".join(v.split(";")[0] for v in m.all("set-cookie"))
    m = c.get("/wp-admin/", f"Cookie: {cookies}\r\n", host=host)
    assert m.status == 200 and b"Dashboard" in m.body
