"""What a page opens with: the tab, the model and the generation that its address names."""

import gradio as gr

from charlm.errors import CharlmError
from charlm.ui import link as links
from charlm.ui import play
from charlm.ui.events import QUIET, SLOW


def connect(page, library, default, controls, requests, tabs):
    """Have `page` open as its address says, and write what a link asks for."""
    outputs = [
        controls.hub_notice,
        controls.model,
        controls.blurb,
        controls.prompt,
        *controls.settings,
    ]
    outputs.append(requests.wanted)

    def begin(request: gr.Request):
        update = dict.fromkeys(outputs, gr.skip()) | {requests.wanted: False}

        def told(*notices):
            notice = play.hub_notice_html([*library.notices(), *notices])
            return [*(update | {controls.hub_notice: notice}).values()]

        update[controls.model] = gr.update(choices=library.names())
        if (better := library.default()) != default:  # it was not here when the page was made
            update[controls.model] = gr.update(choices=library.names(), value=better)
        update[controls.blurb] = play.model_summary_html(
            library, better
        )  # which may have a new revision
        yield told()
        try:
            link = links.read(request.query_params, better, library.limits)
            if not link:
                return
            update[controls.prompt] = link.prompt
            update |= dict(zip(controls.settings, link.numbers, strict=True))
            yield told(f"Fetching {link.model} …" if link.model not in library.names() else "")
            name, notice = find(library, link)
        except CharlmError as error:
            yield told(str(error))
            return
        update[controls.model] = gr.update(choices=library.names(), value=name)
        update[controls.blurb] = play.model_summary_html(library, name)
        update[requests.wanted] = True
        yield told(notice)

    page.load(open_tab, None, tabs, **QUIET)
    page.load(begin, None, outputs, **SLOW).then(**requests.event)


def open_tab(request: gr.Request):
    """The tab that the address names, as after a reload."""
    return gr.Tabs(selected="watch") if request.query_params.get("tab") == "watch" else gr.skip()


def find(library, link):
    """(name, notice): the model that a link is about, fetched if it is the Hub's.

    The notice says so if its weights are others by now; else it is empty. Raises CharlmError.
    """
    there = link.model in library.names()
    if there and link.revision in ("", library.revision(link.model)):
        return link.model, ""
    if there and "/" not in link.model:
        return (
            link.model,
            f"this link is from when {link.model} had other weights: the text differs",
        )
    if "/" not in link.model:
        library.path(link.model)  # which says what there is
    repo = link.model.partition("@")[0]
    return library.add(f"{repo}@{link.revision}" if link.revision else link.model), ""
