"""How the page looks: paper and ink by day, a candle-lit stage by night. All of it is local."""

import base64
from pathlib import Path

import gradio as gr

HERE = Path(__file__).parent
SERIF = ("EB Garamond", "Iowan Old Style", "Palatino", "Georgia", "serif")
INK, PAPER, RUBRIC = "#2a1c10", "#f5ecd7", "#8f1d14"
NIGHT, TALLOW, FLAME = "#15100c", "#efdfc1", "#e8a552"


def look():
    """The arguments of `Blocks.launch` that dress the page."""
    return {
        "theme": theme(),
        "css": font_faces() + (HERE / "look.css").read_text(encoding="utf-8"),
        "head": f"<script>{(HERE / 'look.js').read_text(encoding='utf-8')}</script>",
    }


def theme():
    """Gradio's bare theme in the play's colours; what variables cannot say is in look.css."""
    clear = "transparent"
    day = {
        "body_background_fill": PAPER,
        "body_text_color": INK,
        "body_text_color_subdued": "#6b5640",
        "background_fill_primary": PAPER,
        "background_fill_secondary": "#efe3c8",
        "border_color_primary": "#cdb88f",
        "border_color_accent": RUBRIC,
        "color_accent_soft": "#ead9b4",
        "block_background_fill": clear,
        "block_label_background_fill": clear,
        "block_label_text_color": "#6b5640",
        "block_title_text_color": "#6b5640",
        "block_info_text_color": "#6b5640",
        "panel_background_fill": clear,
        "input_background_fill": "#fbf6e9",
        "input_border_color": "#cdb88f",
        "input_border_color_focus": RUBRIC,
        "input_placeholder_color": "#8a7557",
        "button_primary_background_fill": RUBRIC,
        "button_primary_background_fill_hover": "#a8281d",
        "button_primary_text_color": "#fdf6e6",
        "button_secondary_background_fill": clear,
        "button_secondary_background_fill_hover": "#ead9b4",
        "button_secondary_text_color": INK,
        "button_secondary_border_color": "#b99f70",
        "button_cancel_background_fill": INK,
        "button_cancel_background_fill_hover": "#4a3522",
        "button_cancel_text_color": "#fdf6e6",
        "slider_color": RUBRIC,
        "checkbox_label_background_fill": clear,
        "checkbox_label_background_fill_selected": INK,
        "checkbox_label_text_color": INK,
        "checkbox_label_text_color_selected": "#fdf6e6",
        "checkbox_label_border_color": "#b99f70",
        "link_text_color": RUBRIC,
    }
    night = {
        "body_background_fill": NIGHT,
        "body_text_color": TALLOW,
        "body_text_color_subdued": "#b39d7b",
        "background_fill_primary": NIGHT,
        "background_fill_secondary": "#221a13",
        "border_color_primary": "#4b3a28",
        "border_color_accent": FLAME,
        "color_accent_soft": "#35281b",
        "block_background_fill": clear,
        "block_label_background_fill": clear,
        "block_label_text_color": "#b39d7b",
        "block_title_text_color": "#b39d7b",
        "block_info_text_color": "#b39d7b",
        "panel_background_fill": clear,
        "input_background_fill": "#1f1711",
        "input_border_color": "#4b3a28",
        "input_border_color_focus": FLAME,
        "input_placeholder_color": "#8d7857",
        "button_primary_background_fill": FLAME,
        "button_primary_background_fill_hover": "#f4ba6e",
        "button_primary_text_color": "#21150a",
        "button_secondary_background_fill": clear,
        "button_secondary_background_fill_hover": "#35281b",
        "button_secondary_text_color": TALLOW,
        "button_secondary_border_color": "#5d4932",
        "button_cancel_background_fill": TALLOW,
        "button_cancel_background_fill_hover": "#fff2d8",
        "button_cancel_text_color": "#21150a",
        "slider_color": FLAME,
        "checkbox_label_background_fill": clear,
        "checkbox_label_background_fill_selected": TALLOW,
        "checkbox_label_text_color": TALLOW,
        "checkbox_label_text_color_selected": "#21150a",
        "checkbox_label_border_color": "#5d4932",
        "link_text_color": FLAME,
    }
    plain = {
        "block_border_width": "0px",
        "block_shadow": "none",
        "block_padding": "0px",
        "input_radius": "2px",
        "button_large_radius": "2px",
        "button_small_radius": "999px",
        "checkbox_label_shadow": "none",
    }
    colours = day | {f"{name}_dark": colour for name, colour in night.items()}
    return gr.themes.Base(font=SERIF, font_mono=SERIF, text_size="lg").set(**colours, **plain)


def font_faces():
    """EB Garamond, carried in the style sheet itself so that no request is made for it."""
    faces = []
    for style, file in (("normal", "eb-garamond.woff2"), ("italic", "eb-garamond-italic.woff2")):
        data = base64.b64encode((HERE / "fonts" / file).read_bytes()).decode()
        faces.append(
            f'@font-face {{ font-family: "EB Garamond"; font-style: {style}; font-weight: 400 800;'
            f" font-display: swap; src: url(data:font/woff2;base64,{data}) format('woff2'); }}\n"
        )
    return "".join(faces)
