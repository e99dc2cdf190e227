"""A client of the page's API, whose calls have a deadline."""

from gradio_client import Client
from waiting import WITHIN


class ApiClient(Client):
    def __init__(self, app):
        super().__init__(app.url, verbose=False)

    def predict(self, *args, **options):
        return self.submit(*args, **options).result(timeout=WITHIN)
