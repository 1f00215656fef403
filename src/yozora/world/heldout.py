"""The words of held-out captions, which no other split uses: verbs, phrases and sentence frames.

Written once, and not looked at when phrases for training are added (see wording.py).
"""

from __future__ import annotations

Grammar = dict[str, tuple[str, ...]]

HELDOUT: Grammar = {
    "uniform": ("<move> <way><manner>",),
    "move": (
        "[heads|heading]",
        "[makes|making] its way",
        "[advances|advancing]",
        "[moves|moving] along",
        "[cruises|cruising]",
    ),
    "manner:slow": (" at a leisurely pace", " unhurriedly", " rather slowly"),
    "manner:medium": ("",),
    "manner:fast": (" swiftly", " at great speed", " at a fast pace"),
    "way:left": ("leftwards", "toward the left-hand side", "in the leftward direction"),
    "way:right": ("rightwards", "toward the right-hand side", "in the rightward direction"),
    "way:up": ("vertically upward", "toward the upper edge", "in the upward direction"),
    "way:down": ("vertically downward", "toward the lower edge", "in the downward direction"),
    "way:up-left": ("on a diagonal to the upper left", "leftwards and upwards at an angle"),
    "way:up-right": ("on a diagonal to the upper right", "rightwards and upwards at an angle"),
    "way:down-left": ("on a diagonal to the lower left", "leftwards and downwards at an angle"),
    "way:down-right": ("on a diagonal to the lower right", "rightwards and downwards at an angle"),
    "rest": (
        "[stands|standing] perfectly still",
        "[is stationary|that is stationary]",
        "[keeps|keeping] its place",
        "[stays|staying] put",
    ),
    "fall": (
        "[plunges|plunging] to the ground",
        "[comes|coming] down in free fall and [settles|settling] on the ground",
        "[falls|falling] freely until the ground stops it",
        "[is let go and falls|let go and falling] to the ground",
    ),
    "throw": (
        "[is hurled|hurled] <aside> along a curved path",
        "[is lobbed|lobbed] <aside>",
        "[is hurled|hurled] into the air and <aside>",
        "[sails|sailing] <aside> through the air in a curve",
    ),
    "aside:left": ("leftwards", "over to the left-hand side"),
    "aside:right": ("rightwards", "over to the right-hand side"),
    "bounce": (
        "[hits|hitting] the ground and [bounces|bouncing] again",
        "[comes|coming] down and [bounces|bouncing] off the ground",
        "[falls|falling] and [rebounds|rebounding] from the ground",
        "[bounces|bouncing] like a rubber toy",
    ),
    "pendulum": (
        "[sways|swaying] as the bob of a pendulum",
        "[swings|swinging] back and forth at the end of a stick",
        "[moves|moving] as a swinging pendulum",
        "[is hung|hung] from a stick and [swings|swinging] to the other side",
    ),
    "across:left": ("from the right-hand side to the left",),
    "across:right": ("from the left-hand side to the right",),
    "roll": (
        "[goes|going] rolling down an incline <aside>",
        "[rolls|rolling] along a tilted surface <aside>",
        "[is rolling|rolling] down a sloping plane <aside>",
    ),
    "place:top-left": ("in the top-left part", "near the upper-left corner"),
    "place:top-centre": ("near the upper edge", "high up in the centre"),
    "place:top-right": ("in the top-right part", "near the upper-right corner"),
    "place:middle-left": ("in the left part", "halfway up on the left-hand side"),
    "place:middle-centre": ("exactly in the middle", "around the midpoint of the picture"),
    "place:middle-right": ("in the right part", "halfway up on the right-hand side"),
    "place:bottom-left": ("in the bottom-left part", "near the lower-left corner"),
    "place:bottom-centre": ("near the lower edge", "low down in the centre"),
    "place:bottom-right": ("in the bottom-right part", "near the lower-right corner"),
    "more:rest": ("No motion can be seen", "It is the same in every frame"),
    "more:uniform": ("It neither speeds up nor slows down", "Its course is straight and steady"),
    "more:fall": (
        "Gravity makes it faster until it touches the ground",
        "In the end it lies on the ground",
    ),
    "more:throw": (
        "It climbs to a highest point and comes to the ground on the <end>",
        "Gravity bends its course back to the ground",
    ),
    "more:bounce": (
        "Every bounce is a bit lower than the one before",
        "It comes off the ground with less speed than it came",
    ),
    "more:pendulum": (
        "From the <begin> it comes over to the <end>",
        "The stick that holds it is fixed near the upper edge",
    ),
    "more:roll": (
        "Going downhill makes it faster and faster",
        "It accelerates along the grey incline and spins",
    ),
    "ground": ("with a <tone> background behind", "set against a <tone> backdrop"),
    "backdrop": ("it all takes place on a <tone> background", "the <tone> background is plain"),
    "camera:still": ("the view is fixed", "the shot is static"),
    "camera:pan-left": ("the view shifts leftwards", "the shot is panning to the left-hand side"),
    "camera:pan-right": (
        "the view shifts rightwards",
        "the shot is panning to the right-hand side",
    ),
    "camera:pan-up": ("the view shifts upward", "the shot is panning upward"),
    "camera:pan-down": ("the view shifts downward", "the shot is panning downward"),
    "camera:zoom-in": ("the view is zooming in", "the shot zooms in closer"),
    "camera:zoom-out": ("the view is zooming out", "the shot zooms out farther"),
    "dense": (
        "We see how <body> <act>; at first it is <place>. <Backdrop>. <More>.<view>",
        "At the beginning <body> is <place>, then it <act>, <ground>. <More>.<view>",
        "The clip shows <body> <acting>, first seen <place>, <ground>. <More>.<view>",
        "<Backdrop>. We see <body>, at first <place>, which <act>. <More>.<view>",
    ),
    "dense:rest": (
        "We see how <body> <act> <place>, <ground>. <More>.<view>",
        "The clip shows <body> <acting> <place>, from first to last. <Backdrop>. <More>.<view>",
        "<Backdrop>. We see <body> <place>, which <act>. <More>.<view>",
    ),
    "dense:collision": (
        "We see how <meeting>, <ground>. <Aftermath>.<view>",
        "<Backdrop>. The clip shows how <meeting>. <Aftermath>.<view>",
    ),
    "dense:2": (
        "We see how <one>. Meanwhile <two>. <Backdrop>.<view>",
        "<Backdrop>. The clip shows how <one>, whereas <two>.<view>",
    ),
    "dense:3": (
        "We see how <one>; <two>; <three>. <Backdrop>.<view>",
        "<Backdrop>. The clip shows how <one>, <two>, and also <three>.<view>",
    ),
    "clause": ("<body>, at first <place>, <act>",),
    "clause:rest": ("<body>, seen <place>, <act>",),
    "short": (
        "we see <body> that <act>, <ground>",
        "the clip shows <body> <acting>, <ground>",
        "<body>, which <act>, <ground>",
    ),
    "short:collision": ("we see how <meeting>, <ground>",),
    "short:2": ("we see how <one> whereas <two>, <ground>", "<one>; meanwhile <two>; <ground>"),
    "short:3": ("we see how <one>, <two>, and also <three>, <ground>",),
    "meeting:hit": (
        "<mover> comes along and bumps into <target>, which is stationary",
        "<mover> heads <way> until it strikes <target>",
    ),
    "meeting:both": (
        "<mover> and <target> approach and bump into each other",
        "<mover> and <target> head for each other and crash",
    ),
    "aftermath": (
        "from then on <first> <fate one> whereas <second> <fate two>",
        "as a result <first> <fate one>; <second> <fate two>",
    ),
    "fate:left": ("heads leftwards", "goes off to the left-hand side"),
    "fate:right": ("heads rightwards", "goes off to the right-hand side"),
    "fate:stop": ("hardly moves any more", "comes to a standstill"),
}
