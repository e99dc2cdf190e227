"""How the page looks: paper and ink by day, a candle-lit stage by night. All of it is local."""

import base64
from pathlib import Path

import gradio as gr

HERE = Path(__file__).parent
SERIF = ("EB Garamond", "Iowan Old Style", "Palatino", "Georgia", "serif")
INK, PAPER, RUBRIC = "#2a1c10", "#f5ecd7", "#8f1d14"
NIGHT, TALLOW, FLAME = "#15100c", "#efdfc1", "#e8a552"
CLEAR = "transparent"
COLOURS = {  # Gradio's names for them, by day and by night
    "body_background_fill": (PAPER, NIGHT),
    "body_text_color": (INK, TALLOW),
    "body_text_color_subdued": ("#6b5640", "#b39d7b"),
    "background_fill_primary": (PAPER, NIGHT),
    "background_fill_secondary": ("#efe3c8", "#221a13"),
    "border_color_primary": ("#cdb88f", "#4b3a28"),
    "border_color_accent": (RUBRIC, FLAME),
    "color_accent_soft": ("#ead9b4", "#35281b"),
    "block_background_fill": (CLEAR, CLEAR),
    "block_label_background_fill": (CLEAR, CLEAR),
    "block_label_text_color": ("#6b5640", "#b39d7b"),
    "block_title_text_color": ("#6b5640", "#b39d7b"),
    "block_info_text_color": ("#6b5640", "#b39d7b"),
    "panel_background_fill": (CLEAR, CLEAR),
    "input_background_fill": ("#fbf6e9", "#1f1711"),
    "input_border_color": ("#cdb88f", "#4b3a28"),
    "input_border_color_focus": (RUBRIC, FLAME),
    "input_placeholder_color": ("#8a7557", "#8d7857"),
    "button_primary_background_fill": (RUBRIC, FLAME),
    "button_primary_background_fill_hover": ("#a8281d", "#f4ba6e"),
    "button_primary_text_color": ("#fdf6e6", "#21150a"),
    "button_secondary_background_fill": (CLEAR, CLEAR),
    "button_secondary_background_fill_hover": ("#ead9b4", "#35281b"),
    "button_secondary_text_color": (INK, TALLOW),
    "button_secondary_border_color": ("#b99f70", "#5d4932"),
    "button_cancel_background_fill": (INK, TALLOW),
    "button_cancel_background_fill_hover": ("#4a3522", "#fff2d8"),
    "button_cancel_text_color": ("#fdf6e6", "#21150a"),
    "slider_color": (RUBRIC, FLAME),
    "checkbox_label_background_fill": (CLEAR, CLEAR),
    "checkbox_label_background_fill_selected": (INK, TALLOW),
    "checkbox_label_text_color": (INK, TALLOW),
    "checkbox_label_text_color_selected": ("#fdf6e6", "#21150a"),
    "checkbox_label_border_color": ("#b99f70", "#5d4932"),
    "link_text_color": (RUBRIC, FLAME),
}
SHAPES = {
    "block_border_width": "0px",
    "block_shadow": "none",
    "block_padding": "0px",
    "input_radius": "2px",
    "button_large_radius": "2px",
    "button_small_radius": "999px",
    "checkbox_label_shadow": "none",
}


def look():
    """The arguments of `Blocks.launch` that dress the page."""
    return {
        "theme": theme(),
        "css": font_faces() + (HERE / "theme.css").read_text(encoding="utf-8"),
        "head": f"<script>{(HERE / 'page.js').read_text(encoding='utf-8')}</script>",
    }


def theme():
    """Gradio's bare theme in the play's colours; what variables cannot say is in theme.css."""
    day = {name: colour for name, (colour, _) in COLOURS.items()}
    night = {f"{name}_dark": colour for name, (_, colour) in COLOURS.items()}
    base = gr.themes.Base(neutral_hue="stone", font=SERIF, font_mono=SERIF, text_size="lg")
    return base.set(**day, **night, **SHAPES)


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
