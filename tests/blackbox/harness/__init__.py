"""What the tests are made of: a gateway in a process, scripted backends, raw clients."""

from .backend import Backend, Connection, Endless, Held, serve
from .gateway import Gateway
from .messages import Broken, Message, Reader
from .client import Client
from .h2 import H2Client
from .wait import Event, stretched, wait_for

__all__ = ["Backend", "Broken", "Client", "Connection", "Endless", "Event", "Gateway", "H2Client", "Held", "Message",
           "Reader", "serve", "stretched", "wait_for"]
