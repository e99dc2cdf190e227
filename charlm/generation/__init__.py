"""From token ids to more token ids: sampling, decoding, and the engine that serves many streams."""
