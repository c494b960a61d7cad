"""The catalogue that a fresh studio begins with: providers, their models, what those can do, cost and are also called."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

SIZES = ("1024x1024", "1536x1024", "1024x1536")
WIDE = (*SIZES, "1344x768", "768x1344")
LARGE = (*SIZES, "2048x2048", "2048x1152", "1152x2048")

OPENAI: dict[str, object] = {
    "quality": ["auto", "low", "medium", "high"],
    "background": ["auto", "transparent", "opaque"],
    "output_format": ["png", "jpeg", "webp"],
    "output_compression": {"min": 0, "max": 100},
    "moderation": ["auto", "low"],
    "references": {"min": 0, "max": 16},
    "prompt": {"min": 1, "max": 32_000},
}
OPENAI_FINE = OPENAI | {
    "quality": ["auto", "low", "medium", "high", "xhigh", "max"],
    "complexity": ["low", "medium", "high"],
}
OPENAI_MARKUP = OPENAI_FINE | {"markup": [True]}
GEMINI: dict[str, object] = {
    "image_size": ["1K", "2K", "4K"],
    "aspect_ratio": ["1:1", "2:3", "3:2", "3:4", "4:3", "4:5", "5:4", "9:16", "16:9", "21:9"],
    "temperature": {"min": 0, "max": 2},
    "references": {"min": 0, "max": 14},
}
STABILITY: dict[str, object] = {
    "negative_prompt": "text",
    "output_format": ["png", "jpeg", "webp"],
}
A1111: dict[str, object] = {
    "negative_prompt": "text",
    "steps": {"min": 1, "max": 150},
    "cfg_scale": {"min": 1, "max": 30},
    "sampler": "text",
    "scheduler": "text",
    "denoising_strength": {"min": 0, "max": 1},
}


@dataclass(frozen=True)
class Seed:
    """A model as the catalogue first has it. ``micros``: what a picture costs, in millionths of a US dollar, about.

    One that is not ``active`` waits for an operator to switch it on.
    """

    id: str
    provider: str
    upstream_id: str
    name: str
    credits: int = 1
    micros: int = 40_000
    abilities: Sequence[str] = ("text", "image")
    sizes: Sequence[str] = SIZES
    options: Mapping[str, object] = field(default_factory=dict)
    aliases: Sequence[str] = ()
    active: bool = True
    sort: int = 50


PROVIDERS = {
    "openai": ("openai", ""),  # an empty base: the one of the settings, or the painter's own
    "gemini": ("gemini", ""),
    "openrouter": ("relay", "https://openrouter.ai/api/v1"),
    "fal": ("fal", ""),
    "replicate": ("replicate", ""),
    "stability": ("stability", ""),
    "a1111": ("a1111", ""),
}
"""Code of each provider: its kind and its base. Without keys they offer nothing."""
SETTINGS: dict[str, dict[str, object]] = {"openrouter": {"path": "chat", "balance": "openrouter"}}
LOCAL = ("a1111",)

MASKS = ("text", "image", "mask")

MODELS = (
    Seed("gpt-image-2", "openai", "gpt-image-2", "GPT Image 2", 2, 40_000, MASKS, options=OPENAI,
         aliases=("gpt-image-1", "dall-e-3", "gpt-image-2-2026-04-21"), sort=10),
    Seed("gpt-image-1-mini", "openai", "gpt-image-1-mini", "GPT Image mini", 1, 11_000, MASKS,
         options=OPENAI | {"input_fidelity": ["low"]}, aliases=("dall-e-2",), sort=11),
    Seed("gpt-image-2.6-sunburst", "openai", "gpt-image-2.6-sunburst", "GPT Image 2.6 Sunburst", 4, 120_000, MASKS, LARGE,
         OPENAI_FINE, sort=12),
    Seed("gpt-image-2.6-flare", "openai", "gpt-image-2.6-flare", "GPT Image 2.6 Flare", 1, 20_000, MASKS, LARGE,
         OPENAI_FINE, sort=13),
    Seed("gpt-image-2.5-sunburst", "openai", "gpt-image-2.5-sunburst", "GPT Image 2.5 Sunburst", 4, 110_000, MASKS, LARGE,
         OPENAI_MARKUP, ("gpt-image-2.5-sunburst-2026-09-08",), active=False, sort=14),
    Seed("gpt-image-2.5-flare", "openai", "gpt-image-2.5-flare", "GPT Image 2.5 Flare", 1, 18_000, MASKS, LARGE,
         OPENAI_MARKUP, ("gpt-image-2.5-flare-2026-09-08",), active=False, sort=15),
    Seed("gpt-image-1.5", "openai", "gpt-image-1.5", "GPT Image 1.5", 2, 42_000, MASKS,
         options=OPENAI | {"input_fidelity": ["high", "low"]}, active=False, sort=16),
    Seed("chatgpt-image-latest", "openai", "chatgpt-image-latest", "ChatGPT Image", 2, 40_000, MASKS, options=OPENAI,
         active=False, sort=17),
    Seed("gemini-nano-banana-2.1", "gemini", "gemini-nano-banana-2.1", "Nano Banana 2.1", 1, 34_000, sizes=WIDE,
         options=GEMINI, aliases=("nano-banana", "gemini-2.5-flash-image", "gemini-2.5-flash-image-preview"), sort=20),
    Seed("gemini-3-pro-image", "gemini", "gemini-3-pro-image", "Gemini 3 Pro Image", 4, 134_000, sizes=WIDE,
         options=GEMINI, aliases=("gemini-3-pro-image-preview", "nano-banana-pro"), sort=21),
    Seed("gemini-3.1-flash-image", "gemini", "gemini-3.1-flash-image", "Gemini 3.1 Flash Image", 2, 67_000, sizes=WIDE,
         options=GEMINI | {"image_size": ["512", "1K", "2K", "4K"]}, aliases=("gemini-3.1-flash-image-preview",),
         active=False, sort=22),  # its shutdown has been announced, not by Google
    Seed("gemini-3.1-flash-lite-image", "gemini", "gemini-3.1-flash-lite-image", "Gemini 3.1 Flash Lite Image", 1, 20_000,
         sizes=WIDE, options={name: GEMINI[name] for name in ("aspect_ratio", "temperature", "references")}, sort=23),
    Seed("openrouter-nano-banana", "openrouter", "google/gemini-2.5-flash-image", "Nano Banana by OpenRouter", 1, 40_000,
         sizes=WIDE, options={"aspect_ratio": GEMINI["aspect_ratio"]}, aliases=("google/gemini-2.5-flash-image",), sort=30),
    Seed("openrouter-gpt-image-mini", "openrouter", "openai/gpt-5-image-mini", "GPT Image mini by OpenRouter", 1, 20_000,
         aliases=("openai/gpt-5-image-mini",), active=False, sort=31),
    Seed("fal-flux-dev", "fal", "fal-ai/flux/dev", "FLUX dev by fal", 1, 25_000, sizes=WIDE,
         options={"guidance_scale": {"min": 0, "max": 20}, "num_inference_steps": {"min": 1, "max": 50},
                  "output_format": ["png", "jpeg"], "references": {"min": 0, "max": 1}},
         aliases=("fal-ai/flux/dev",), sort=40),
    Seed("fal-nano-banana", "fal", "fal-ai/nano-banana", "Nano Banana by fal", 1, 39_000, sizes=WIDE,
         options={"output_format": ["png", "jpeg"]}, aliases=("fal-ai/nano-banana",), sort=41),
    Seed("replicate-flux-dev", "replicate", "black-forest-labs/flux-dev", "FLUX dev by Replicate", 1, 25_000, sizes=WIDE,
         options={"guidance": {"min": 0, "max": 10}, "num_inference_steps": {"min": 1, "max": 50},
                  "output_format": ["png", "jpg", "webp"], "references": {"min": 0, "max": 1}},
         aliases=("black-forest-labs/flux-dev",), sort=45),
    Seed("replicate-nano-banana", "replicate", "google/nano-banana", "Nano Banana by Replicate", 1, 39_000, sizes=WIDE,
         options={"output_format": ["png", "jpg"]}, aliases=("google/nano-banana",), sort=46),
    Seed("stable-image-core", "stability", "core", "Stable Image Core", 1, 30_000, ("text",), WIDE,
         STABILITY, sort=50),
    Seed("stable-image-ultra", "stability", "ultra", "Stable Image Ultra", 2, 80_000, sizes=WIDE,
         options=STABILITY | {"strength": {"min": 0, "max": 1}, "references": {"min": 0, "max": 1}}, sort=51),
    Seed("sd3.5-large", "stability", "sd3.5-large", "Stable Diffusion 3.5 Large", 2, 65_000, sizes=WIDE,
         options=STABILITY | {"strength": {"min": 0, "max": 1}, "cfg_scale": {"min": 1, "max": 10},
                              "references": {"min": 0, "max": 1}}, sort=52),
    Seed("stable-diffusion", "a1111", "", "Stable Diffusion here", 1, 0, MASKS,
         (*SIZES, "512x512", "768x512", "512x768"), A1111 | {"references": {"min": 0, "max": 1}}, sort=60),
)  # fmt: skip
"""Identifiers as of November 2026, prices about; all of it rows that an operator edits afterwards."""
