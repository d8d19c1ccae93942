"""A Django site that signs people in: it redirects, and sets a cookie, as Django does by itself."""

import django
from django.conf import settings
from django.core.wsgi import get_wsgi_application
from django.http import HttpResponse, HttpResponseRedirect
from django.shortcuts import redirect
from django.urls import path, reverse

settings.configure(
    DEBUG=False, SECRET_KEY="for a test", ALLOWED_HOSTS=["*"], ROOT_URLCONF=__name__,
    USE_X_FORWARDED_HOST=False, SESSION_ENGINE="django.contrib.sessions.backends.signed_cookies",
    APPEND_SLASH=True, INSTALLED_APPS=["django.contrib.sessions"],
    MIDDLEWARE=["django.contrib.sessions.middleware.SessionMiddleware",
                "django.middleware.common.CommonMiddleware"])
django.setup()


def login(request):
    request.session["name"] = request.GET.get("name", "nobody")
    return redirect("home")


def home(request):
    if "name" not in request.session:
        return redirect("login")
    return HttpResponse(f"{request.session['name']} at {reverse('home')} of {request.get_host()}")


def absolute(request):
    return HttpResponseRedirect(request.build_absolute_uri(reverse("home")))


urlpatterns = [path("login/", login, name="login"), path("home/", home, name="home"),
               path("absolute/", absolute)]
application = get_wsgi_application()
