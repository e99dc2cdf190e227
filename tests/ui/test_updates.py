"""What an event's outputs become on the way to the browser."""

import asyncio

import gradio as gr
from gradio.routes import App
from programs import free_port

from charlm.serving.fair_pool import Pools
from charlm.ui.events import FAST
from charlm.ui.page import Page


def make_page():
    with Page({}, Pools()) as page:
        outputs = [gr.HTML(), gr.HTML(), gr.HTML()]
        button = gr.Button()
        button.click(lambda: None, None, outputs, **FAST)
        button.click(lambda: None, None, outputs)
    return page, *page.fns.values()


def results(page, event, predictions):
    made = asyncio.run(page.postprocess_data(event, predictions, None))
    for update in made:
        if isinstance(update, dict):  # Gradio sends an HTML these, which it does not have
            assert update.pop("props", None) in (None, {"__type__": "update"})
    return made


def test_updates_of_a_text_are_what_gradio_would_make_of_them_without_new_components(monkeypatch):
    page, fast, slow = make_page()
    update = ["<p>To be &amp;", gr.skip(), ""]
    expected = results(page, slow, list(update))

    def refuse(*_, **__):
        raise AssertionError("a component was built")

    monkeypatch.setattr(gr.HTML, "__init__", refuse)
    assert results(page, fast, update) == expected
    assert expected == update


def test_other_updates_pass_through_gradio():
    page, fast, _ = make_page()
    made = results(page, fast, ["text", gr.update(visible=False), gr.skip()])
    assert made == ["text", {"__type__": "update", "visible": False}, {"__type__": "update"}]


def test_a_list_that_is_one_output_stays_one():
    with Page({}, Pools()) as page:
        gr.Button().click(lambda: None, None, gr.JSON(), **FAST)
    (event,) = page.fns.values()
    assert results(page, event, ["a", "b"]) == [["a", "b"]]


def test_an_event_that_ends_before_its_first_update_changes_nothing():
    async def end_at_once():
        return
        yield

    with Page({}, Pools()) as page:
        gr.Button().click(end_at_once, None, [gr.HTML(), gr.HTML()], **FAST)
    (event,) = page.fns.values()
    assert asyncio.run(page.process_api(event, []))["data"] == [gr.skip(), gr.skip()]


def test_the_web_application_is_built_once_when_the_page_is_served(monkeypatch):
    built, create = [], App.create_app

    def count(*args, **options):
        built.append(create(*args, **options))
        return built[-1]

    monkeypatch.setattr(App, "create_app", staticmethod(count))
    page, *_ = make_page()
    page.queue()
    assert built == []
    page.launch(prevent_thread_lock=True, quiet=True, server_port=free_port())
    try:
        assert built == [page.app]
    finally:
        page.close()
