"""What goes wrong with one request, as OpenAI's clients read it: a status and a body with one line."""

from typing import Any

TYPES = {
    400: "invalid_request_error",
    401: "authentication_error",
    404: "invalid_request_error",
    429: "rate_limit_error",
}


MOST_CHARACTERS = 400
"""Of a message, whatever of a request it shows."""


class RequestFault(Exception):
    """``message``: made one line. ``param``: the field of the request that is wrong; ``code``: OpenAI's word for it,
    where there is one.
    """

    def __init__(self, status: int, message: str, param: str | None = None, code: str | None = None) -> None:
        message = " ".join(message.split())
        message = message if len(message) <= MOST_CHARACTERS else f"{message[: MOST_CHARACTERS - 3]}..."
        super().__init__(message)
        self.status, self.message, self.param, self.code = status, message, param, code

    @property
    def body(self) -> dict[str, Any]:
        kind = TYPES.get(self.status, "invalid_request_error" if self.status < 500 else "server_error")
        return {"error": {"message": self.message, "type": kind, "param": self.param, "code": self.code}}
