"""How people say what a drive shows: tables of wordings for each tag, those that are trained on and those held out.

A wording is listed by the place it can take in a sentence. ``HELD_OUT`` has other wordings of the same tags, made of
words or stems that ``TRAINED`` has too (a reader of sentences cannot know a word it never met); captions made of them
are never trained on. Dawn counts as dusk, which it looks like, and winter as snow. Knows words, not sentences.
"""

from __future__ import annotations

import dataclasses


@dataclasses.dataclass(frozen=True)
class Wording:
    """Ways to say one tag.

    Attributes:
        adjectives: before the road's noun, "a *wet* motorway".
        nouns: alone, in lists, and after "no" or "without".
        phrases: after a verb, "driving *in the rain*".
        clauses: whole sentences, "*it is raining*".
        changes: that it begins, "*it starts to rain*".
        endings: that it ends, "*the rain stops*".
    """

    adjectives: tuple[str, ...] = ()
    nouns: tuple[str, ...] = ()
    phrases: tuple[str, ...] = ()
    clauses: tuple[str, ...] = ()
    changes: tuple[str, ...] = ()
    endings: tuple[str, ...] = ()

    def all(self) -> tuple[str, ...]:
        """Every one of them."""
        return tuple(text for field in dataclasses.fields(self) for text in getattr(self, field.name))


def _of(adjectives: str = "", nouns: str = "", phrases: str = "", clauses: str = "", changes: str = "", endings: str = ""):
    parts = (adjectives, nouns, phrases, clauses, changes, endings)
    return Wording(*(tuple(filter(None, (item.strip() for item in part.split("|")))) for part in parts))


#: Channel to tag to its wordings.
Table = dict[str, dict[str, Wording]]

TRAINED: Table = {
    "weather": {
        "clear": _of(
            "clear|dry|fine|fair|bright|cloudless",
            "clear weather|a clear sky|clear skies|dry weather|good weather|fine weather|a dry road|good visibility",
            "in clear weather|under a clear sky|in good weather|in dry weather|in fine conditions|with a clear sky",
            "the weather is clear|the sky is clear|it is dry|the weather is good|the road is dry|there is no cloud",
            "the sky clears|the weather clears up|it clears up|it gets dry|the weather gets better|the road dries",
        ),
        "rain": _of(
            "rainy|wet|rain-soaked|drizzly|soaked|stormy",
            "rain|heavy rain|drizzle|a downpour|a wet road|rainfall|showers|wet weather|a rainstorm|light rain",
            "in the rain|in heavy rain|in a downpour|in wet weather|through a shower|during a rainstorm|while it rains",
            "it is raining|it rains|rain is falling|it is pouring|it is drizzling|the road is wet|rain falls heavily",
            "it starts to rain|it begins to rain|rain sets in|rain begins|it starts raining|the road gets wet|on rain",
            "the rain stops|it stops raining|the rain ends|the shower passes",
        ),
        "fog": _of(
            "foggy|misty|hazy",
            "fog|thick fog|dense fog|mist|haze|poor visibility|patches of fog|morning mist",
            "in fog|in thick fog|in the mist|through the fog|in dense fog|in foggy conditions|in poor visibility",
            "it is foggy|there is fog|fog hangs over the road|the visibility is poor|everything is misty|mist is everywhere",
            "fog rolls in|fog comes up|it gets foggy|mist gathers|the fog thickens|visibility drops|fog starts",
            "the fog lifts|the mist clears|the fog disappears|the fog goes away",
        ),
        "snow": _of(
            "snowy|snow-covered|wintry|snowed-in",
            "snow|heavy snow|snowfall|falling snow|a snowstorm|winter|a blizzard|snowflakes|winter weather",
            "in snow|in the snow|in heavy snow|in a snowstorm|in winter|through a blizzard|during snowfall|in wintry weather",
            "it is snowing|it snows|snow is falling|snow covers the road|it is winter|there is snow on the road",
            "it starts to snow|it begins to snow|snow sets in|snow begins to fall|it starts snowing|winter comes",
            "the snow stops|it stops snowing|the snowfall ends|the snow melts",
        ),
    },
    "time_of_day": {
        "day": _of(
            "daytime|daylight|midday",
            "day|daytime|daylight|midday|noon|an afternoon|a morning|broad daylight",
            "by day|in daylight|during the day|at noon|at midday|in the afternoon|in the morning|in broad daylight",
            "it is day|it is daytime|it is noon|it is light outside|the day is bright|it is the middle of the day",
            "day breaks|the day begins|it gets light|daylight comes|it becomes day|the night ends",
        ),
        "dusk": _of(
            "twilight|evening|dusky|sunset",
            "dusk|twilight|sunset|dawn|sunrise|evening light|nightfall|a low sun",
            "at dusk|at sunset|at twilight|in the evening|at dawn|at sunrise|in the twilight|under a low sun|towards evening",
            "it is dusk|the sun is setting|the sun sets|it is evening|the sun is low|twilight is falling|dawn is breaking",
            "dusk falls|the sun goes down|it gets darker|evening comes|the light fades|it becomes dusk",
        ),
        "night": _of(
            "dark|night-time|nocturnal|unlit|late-night",
            "night|darkness|night-time|the dark|midnight|a dark night|headlights only",
            "at night|by night|in the dark|after dark|in darkness|at midnight|late at night|during the night",
            "it is night|it is dark|it is night-time|it is midnight|the night is dark|everything is dark|it is pitch dark",
            "night falls|it gets dark|darkness falls|it becomes night|the night comes|it turns dark",
        ),
    },
    "road_kind": {
        "motorway": _of(
            "",
            "motorway|highway|freeway|expressway|interstate|autobahn|multi-lane highway|dual carriageway|toll motorway",
            "on a motorway|along the motorway|on the highway|down a freeway|on an autobahn|on the expressway",
            "the road is a motorway|it is a highway|we are on the motorway|this is a freeway|the motorway lies ahead",
        ),
        "country": _of(
            "",
            "country road|country lane|rural road|back road|road through fields|road in the countryside|rural highway",
            "on a country road|along a rural road|in the countryside|down a country lane|through the fields|out in the country",
            "the road is a country road|it is a rural road|we are in the countryside|this is a country lane",
        ),
        "town": _of(
            "",
            "town street|city street|street|town road|urban road|residential street|street in town|city road|suburban street",
            "in town|in the city|through town|through a city|along a town street|down a city street|in a suburb|downtown",
            "the road is a town street|it is a city street|we are in town|this is an urban street|houses line the street",
        ),
    },
    "traffic": {
        "none": _of(
            "empty|deserted|lonely|traffic-free|abandoned",
            "no traffic|no other cars|an empty road|no cars|no other vehicles|nobody else|no one else|zero traffic",
            "without traffic|with no other cars|without other cars|with nobody around|all alone|without any traffic",
            "the road is empty|there is no traffic|nobody else is on the road|there are no other cars|we are alone",
            "the road empties|traffic disappears|everybody else leaves|the traffic goes away|all cars vanish",
        ),
        "light": _of(
            "quiet|calm",
            "light traffic|little traffic|a few cars|some traffic|sparse traffic|moderate traffic|some cars|few cars",
            "in light traffic|with light traffic|with a few other cars|with some traffic|with little traffic|in sparse traffic",
            "traffic is light|there is little traffic|there are a few cars|the road is quiet|there is some traffic",
            "traffic thins out|traffic gets lighter|the road gets quieter|the traffic eases|traffic calms down",
        ),
        "dense": _of(
            "busy|crowded|congested|packed|jammed",
            "heavy traffic|dense traffic|a traffic jam|rush hour|many cars|lots of traffic|congestion|lots of cars|much traffic",
            "in heavy traffic|in dense traffic|with heavy traffic|at rush hour|in a traffic jam|with many cars|among many vehicles",
            "traffic is heavy|the traffic is dense|the road is busy|there are many cars|there is a lot of traffic|it is rush hour",
            "traffic builds up|traffic gets heavier|the road fills up|it gets busy|a jam forms|more cars join",
        ),
    },
    "event": {
        "none": _of(
            "uneventful",
            "nothing special|no incident|no events|an uneventful drive|no surprises",
            "without incident|without surprises|with nothing happening",
            "nothing happens|nothing special happens|the drive is uneventful",
        ),
        "hard_brake": _of(
            "",
            "hard braking ahead|an emergency stop ahead|a leader that brakes hard|sudden braking of the car ahead",
            "behind a car that brakes hard|with the leader braking hard|behind a sudden emergency stop",
            "the car ahead brakes hard|the car in front brakes suddenly|the leader slams on the brakes|the leading car brakes",
            "the car ahead starts braking hard|the vehicle in front suddenly brakes|the leader brakes hard",
        ),
        "cut_in": _of(
            "",
            "a cut-in|a car cutting in|somebody cutting in|a car that merges in front of us|a cut in from the side",
            "with a car cutting in|while somebody cuts in",
            "a car cuts in|someone cuts in ahead|another car cuts us off|a vehicle merges right in front of us",
            "a car cuts in front of us|somebody cuts in|a car swerves into our lane",
        ),
        "stopped_vehicle": _of(
            "",
            "a stopped vehicle|a broken-down car|a stopped car ahead|a stationary car in the lane|a vehicle standing still",
            "towards a stopped car|behind a broken-down vehicle|with a stationary vehicle in the way",
            "a car has stopped in our lane|a vehicle stands in the lane|a broken-down car blocks the lane",
            "a stopped vehicle appears|a stationary car comes into view",
        ),
        "slow_truck": _of(
            "",
            "a slow truck|a slow lorry ahead|a crawling truck|a slow truck ahead|a slow heavy vehicle",
            "behind a slow truck|following a slow lorry|stuck behind a truck",
            "a truck crawls ahead|a slow lorry is in front of us|we are stuck behind a truck|a truck is going slowly",
            "a slow truck appears|a slow lorry comes into view|we catch up with a slow truck",
        ),
        "pedestrian": _of(
            "",
            "a pedestrian|a pedestrian crossing|someone on foot in the road|a person in the road|a pedestrian stepping out",
            "with a pedestrian stepping out|with a person crossing",
            "a pedestrian steps out|a person crosses the road|somebody walks into the road|a pedestrian is crossing",
            "a pedestrian steps into the road|a person steps out|somebody runs into the street",
        ),
    },
}

HELD_OUT: Table = {
    "weather": {
        "clear": _of("clear-skied", "fair weather|dry conditions|clear conditions", "in fair weather|on dry roads|in bright weather",
                     "the weather is fine|skies are clear|the road stays dry", "the weather turns fine|it turns dry"),
        "rain": _of("raining|showery", "pouring rain|drizzling rain|rainy weather|a heavy shower", "in drizzle|on a wet road|in pouring rain|through rain",
                    "it pours|heavy rain is falling|it drizzles|everything is wet|showers come down", "it begins raining|a downpour starts|a shower begins",
                    "rain ends|the downpour stops"),
        "fog": _of("fogbound|fog-covered", "heavy fog|dense mist|foggy weather|low visibility", "in a haze|in heavy mist|in misty weather|through thick mist",
                   "the road is foggy|it is misty|thick fog covers everything", "mist rolls in|fog gathers|it becomes misty", "the mist lifts|the haze disappears"),
        "snow": _of("snowing|snow-swept", "thick snow|a snowy road|wintry conditions|snow showers", "on a snowy road|during a blizzard|through falling snow",
                    "heavy snow is falling|the road is snowy|snowflakes are falling|snow lies on the road", "it begins snowing|snowfall begins|a blizzard starts",
                    "snow stops falling|the blizzard ends"),
    },
    "time_of_day": {
        "day": _of("day-lit", "full daylight|the middle of the day|a bright day|day time", "at mid-day|in full daylight|on a bright day", "it is broad daylight|it is midday",
                   "it becomes daytime|morning comes"),
        "dusk": _of("evening-lit|sunrise", "the setting sun|evening twilight|the evening", "at nightfall|in the evening light|under a setting sun",
                    "the evening is falling|the sun is about to set|dusk is falling", "twilight falls|the sun begins to set|evening falls"),
        "night": _of("darkened|midnight", "complete darkness|a night drive|the night", "through the night|in the dark of night|in pitch darkness",
                     "the road is dark|night has fallen|it is late at night", "it grows dark|it becomes dark|night sets in"),
    },
    "road_kind": {
        "motorway": _of("", "motor way|express highway|four-lane motorway|three-lane freeway", "down the motorway|along an interstate|on a dual carriageway",
                        "we drive on a highway|the road is an interstate"),
        "country": _of("", "countryside road|rural lane|country highway|road in the country", "in the country|along a country lane|on a back road|past fields",
                       "we are on a rural road|fields line the road"),
        "town": _of("", "downtown street|urban street|street in the city|town centre street", "in a town|along an urban road|in the suburbs|on a street in town",
                    "we are in the city|this is a town street"),
    },
    "traffic": {
        "none": _of("car-free|emptied", "nobody else on the road|no vehicles|not a single car|no other traffic", "without a single car|with no one around|on an empty road",
                    "there is nobody else|there are no cars|we are all alone", "the road becomes empty|all traffic vanishes"),
        "light": _of("fairly quiet", "very little traffic|just a few cars|few other cars", "with few cars|in quiet traffic|with sparse traffic",
                     "there is light traffic|traffic is sparse|there are some cars", "traffic becomes light|the traffic gets sparse"),
        "dense": _of("very busy|jam-packed", "a lot of traffic|busy traffic|a lot of cars|crowded lanes|rush-hour traffic", "among lots of cars|in busy traffic|in rush-hour traffic|with dense traffic",
                     "there is heavy traffic|the road is crowded|there is a traffic jam|the road is packed", "traffic becomes heavy|traffic gets denser|the road gets crowded"),
    },
    "event": {
        "none": _of("", "no special events|nothing happening", "without any incident|without events", "there are no surprises"),
        "hard_brake": _of("", "a car ahead that brakes hard|sudden braking ahead", "behind a car braking suddenly", "the vehicle ahead brakes hard|the leader brakes suddenly",
                          "the car in front slams on the brakes"),
        "cut_in": _of("", "somebody who cuts in|a vehicle cutting in ahead", "with someone cutting in", "someone cuts us off|another vehicle cuts in", "a vehicle cuts in"),
        "stopped_vehicle": _of("", "a stationary vehicle|a stopped car in our lane", "behind a stopped vehicle", "a stopped car blocks the lane|a car is standing still ahead",
                               "a broken-down vehicle appears"),
        "slow_truck": _of("", "a slowly crawling lorry|a slow truck in front of us", "stuck behind a slow lorry", "a truck is crawling ahead|a slow truck is ahead",
                          "a crawling lorry appears"),
        "pedestrian": _of("", "a person crossing|a pedestrian in the road", "with a pedestrian in the road", "a person walks into the road|a pedestrian crosses",
                          "somebody steps into the street"),
    },
}  # fmt: skip

#: Said of two tags at once: text, its place in a sentence, and the tags.
PAIRED: tuple[tuple[str, str, dict[str, str]], ...] = (
    ("sunny", "adjectives", {"weather": "clear", "time_of_day": "day"}),
    ("sunshine", "nouns", {"weather": "clear", "time_of_day": "day"}),
    ("in the sunshine", "phrases", {"weather": "clear", "time_of_day": "day"}),
    ("under a blue sky", "phrases", {"weather": "clear", "time_of_day": "day"}),
    ("the sun shines", "clauses", {"weather": "clear", "time_of_day": "day"}),
    ("the sun comes out", "changes", {"weather": "clear", "time_of_day": "day"}),
    ("the sun is shining", "clauses", {"weather": "clear", "time_of_day": "day"}),
    ("on a summer day", "phrases", {"weather": "clear", "time_of_day": "day"}),
    ("moonlit", "adjectives", {"weather": "clear", "time_of_day": "night"}),
    ("under the stars", "phrases", {"weather": "clear", "time_of_day": "night"}),
    ("the stars are out", "clauses", {"weather": "clear", "time_of_day": "night"}),
)

#: Things no tag can say, which must not be mistaken for one.
ASIDES = {
    "trained": (
        "trucks ahead|a red car ahead|mountains in the distance|trees on both sides|a bridge|a long bend to the left|slow bends|"
        "cyclists|a bus at the side|a tunnel|driving fast|at a constant speed|calm driving|overtaking a van|a motorbike behind us|"
        "road works|lorries|a yellow taxi|with music on|a roundabout|traffic lights|two lanes|cars parked at the side|a river|"
        "hills|an old barn|a truck|white cars|speed limit 80|buildings|a lorry ahead|clouds|overcast|windy|potholes|trucks"
    ).split("|"),
    "held_out": (
        "vans ahead|a blue lorry|a forest|steep hills|an ambulance|a tram|sharp bends|a level crossing|a green truck in the next lane|"
        "driving gently|at high speed|a petrol station|deer|a motorcycle|parked vans|three lanes|a castle|graffiti"
    ).split("|"),
}
