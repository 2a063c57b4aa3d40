"""Turn the colours of a directive into those of a light's state."""

from __future__ import annotations

import colorsys
import math

_NO_BLUE, _WHITE = 19, 66  # hundreds of kelvin


def from_hsb(hue: float, saturation: float, brightness: float) -> tuple[float, float]:
    """Return hue (degrees) and saturation (percent) as a light that works in bytes keeps them.

    The detour over red, green and blue as bytes, cut and not rounded, is Home Assistant's.
    """
    channels = colorsys.hsv_to_rgb(hue / 360, saturation, brightness)
    return _from_rgb(*(int(channel * 255) for channel in channels))


def from_kelvin(kelvin: float) -> tuple[float, float]:
    """Return hue (degrees) and saturation (percent) of a white light of `kelvin` (1000 to 40000).

    Source: Tanner Helland, "How to convert temperature (K) to RGB" (curves fitted to the colours
    of a black body).
    """
    hundreds = min(max(kelvin, 1000), 40000) / 100
    red = green = blue = 255.0
    if hundreds > _WHITE:
        red = 329.698727446 * (hundreds - 60) ** -0.1332047592
        green = 288.1221695283 * (hundreds - 60) ** -0.0755148492
    else:
        green = 99.4708025861 * math.log(hundreds) - 161.1195681661
    if hundreds <= _NO_BLUE:
        blue = 0.0
    elif hundreds < _WHITE:
        blue = 138.5177312231 * math.log(hundreds - 10) - 305.0447927307
    return _from_rgb(*(min(max(channel, 0.0), 255.0) for channel in (red, green, blue)))


def _from_rgb(*channels: float) -> tuple[float, float]:
    hue, saturation, _ = colorsys.rgb_to_hsv(*(channel / 255 for channel in channels))
    return round(hue * 360, 3), round(saturation * 100, 3)
