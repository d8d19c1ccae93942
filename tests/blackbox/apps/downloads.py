"""A Django application that lets others send its files: /accel/NAME by another route of the gateway,
/sendfile/NAME by their path. FILES says where they are."""

import mimetypes
import os

from django.conf import settings
from django.core.wsgi import get_wsgi_application
from django.http import HttpResponse
from django.urls import path

settings.configure(ALLOWED_HOSTS=["*"], ROOT_URLCONF=__name__, SECRET_KEY="for a test", USE_TZ=True,
                   MIDDLEWARE=["django.middleware.security.SecurityMiddleware"])


def download(request, field, target, name):
    response = HttpResponse(content_type=mimetypes.guess_type(name)[0] or "application/octet-stream")
    response[field] = target + name
    response["Content-Disposition"] = f'attachment; filename="{name}"'
    response.set_cookie("last", name)
    return response


urlpatterns = [
    path("accel/<str:name>", lambda r, name: download(r, "X-Accel-Redirect", "/protected/", name)),
    path("sendfile/<str:name>", lambda r, name: download(r, "X-Sendfile", os.environ["FILES"] + "/", name)),
]
application = get_wsgi_application()
