"""What the server keeps of each visitor's session: the values of gr.State, and little else.

Gradio's sessions also keep the properties and values of all components, for deep links, which the
page does not have: 5 ms for each call of the API, and 200 kB until the session was dropped.
"""

from copy import copy

from gradio.state_holder import SessionState, StateHolder


class Session(SessionState):
    """A session without the configuration of the components."""

    def __init__(self, blocks):
        self.blocks_config = copy(blocks.default_config)
        self.config_values, self.state_data, self._state_ttl = {}, {}, {}
        self.is_closed, self.STATE_TTL_WHEN_CLOSED = False, 3600

    def _update_config(self, key):
        pass

    def _update_value_in_config(self, key, value):
        pass


class Sessions(StateHolder):
    """The sessions of a page."""

    def __getitem__(self, session_id):
        if session_id not in self.session_data:
            self.session_data[session_id] = Session(self.blocks)
        return super().__getitem__(session_id)
