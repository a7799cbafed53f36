"""How people say what a drive shows: the wordings of each tag that readers of sentences are trained on.

A wording is listed by the place it can take in a sentence. Dawn counts as dusk, which it looks like, and winter as
snow. Knows words, not sentences; wordings that are never trained on lie in ``held_out``.
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


def wording(**places: str) -> Wording:
    """A ``Wording`` of texts parted by bars."""
    return Wording(**{place: tuple(text.split("|")) for place, text in places.items()})


#: Channel to tag to its wordings.
Table = dict[str, dict[str, Wording]]

TRAINED: Table = {
    "weather": {
        "clear": wording(
            adjectives="clear|dry|fine|fair|bright|cloudless",
            nouns=(
                "clear weather|a clear sky|clear skies|dry weather|good weather|fine weather|a dry road|good visibility"
            ),
            phrases=(
                "in clear weather|under a clear sky|in good weather|in dry weather|in fine conditions|with a clear sky"
            ),
            clauses=(
                "the weather is clear|the sky is clear|it is dry|the weather is good|the road is dry|there is no cloud"
            ),
            changes=(
                "the sky clears|the weather clears up|it clears up|it gets dry|the weather gets better|the road dries"
            ),
        ),
        "rain": wording(
            adjectives="pouring|rainy|wet|rain-soaked|drizzly|soaked|stormy",
            nouns="rain|heavy rain|drizzle|a downpour|a wet road|rainfall|showers|wet weather|a rainstorm|light rain",
            phrases=(
                "in the rain|in heavy rain|in a downpour|in wet weather|through a shower|during a rainstorm|"
                "while it rains"
            ),
            clauses=(
                "it is raining|it rains|rain is falling|it is pouring|it is drizzling|the road is wet|"
                "rain falls heavily"
            ),
            changes=(
                "it starts to rain|it begins to rain|rain sets in|rain begins|it starts raining|the road gets wet|"
                "on rain"
            ),
            endings="the rain stops|it stops raining|the rain ends|the shower passes",
        ),
        "fog": wording(
            adjectives="foggy|misty|hazy",
            nouns="fog|thick fog|dense fog|mist|haze|poor visibility|patches of fog|morning mist",
            phrases=(
                "in fog|in thick fog|in the mist|through the fog|in dense fog|in foggy conditions|in poor visibility"
            ),
            clauses=(
                "it is foggy|there is fog|fog hangs over the road|the visibility is poor|everything is misty|"
                "mist is everywhere"
            ),
            changes=(
                "fog rolls in|fog comes up|it gets foggy|mist gathers|the fog thickens|visibility drops|fog starts"
            ),
            endings="the fog lifts|the mist clears|the fog disappears|the fog goes away",
        ),
        "snow": wording(
            adjectives="snowy|snow-covered|wintry|snowed-in",
            nouns="snow|heavy snow|snowfall|falling snow|a snowstorm|winter|a blizzard|snowflakes|winter weather",
            phrases=(
                "in snow|in the snow|in heavy snow|in a snowstorm|in winter|through a blizzard|during snowfall|"
                "in wintry weather"
            ),
            clauses=(
                "it is snowing|it snows|snow is falling|snow covers the road|it is winter|there is snow on the road"
            ),
            changes=(
                "it starts to snow|it begins to snow|snow sets in|snow begins to fall|it starts snowing|winter comes"
            ),
            endings="the snow stops|it stops snowing|the snowfall ends|the snow melts",
        ),
    },
    "time_of_day": {
        "day": wording(
            adjectives="daytime|daylight|midday",
            nouns="the middle of the afternoon|day|daytime|daylight|midday|noon|an afternoon|a morning|broad daylight",
            phrases=(
                "by day|in daylight|during the day|at noon|at midday|in the afternoon|in the morning|in broad daylight"
            ),
            clauses=(
                "it is day|it is daytime|it is noon|it is light outside|the day is bright|it is the middle of the day"
            ),
            changes="day breaks|the day begins|it gets light|daylight comes|it becomes day|the night ends",
        ),
        "dusk": wording(
            adjectives="twilight|evening|dusky|sunset",
            nouns="sundown|half-light|dusk|twilight|sunset|dawn|sunrise|evening light|nightfall|a low sun",
            phrases=(
                "at sundown|at dusk|at sunset|at twilight|in the evening|at dawn|at sunrise|in the twilight|"
                "under a low sun|"
                "towards evening"
            ),
            clauses=(
                "it is dusk|the sun is setting|the sun sets|it is evening|the sun is low|twilight is falling|"
                "dawn is breaking"
            ),
            changes="dusk falls|the sun goes down|it gets darker|evening comes|the light fades|it becomes dusk",
        ),
        "night": wording(
            adjectives="nighttime|pitch-black|dark|night-time|nocturnal|unlit|late-night",
            nouns="night|darkness|night-time|the dark|midnight|a dark night|headlights only",
            phrases="at night|by night|in the dark|after dark|in darkness|at midnight|late at night|during the night",
            clauses=(
                "it is night|it is dark|it is night-time|it is midnight|the night is dark|everything is dark|"
                "it is pitch dark"
            ),
            changes="night falls|it gets dark|darkness falls|it becomes night|the night comes|it turns dark",
        ),
    },
    "road_kind": {
        "motorway": wording(
            nouns=(
                "motorway|highway|freeway|expressway|interstate|autobahn|multi-lane highway|dual carriageway|"
                "toll motorway"
            ),
            phrases="on a motorway|along the motorway|on the highway|down a freeway|on an autobahn|on the expressway",
            clauses=(
                "the road is a motorway|it is a highway|we are on the motorway|this is a freeway|"
                "the motorway lies ahead"
            ),
        ),
        "country": wording(
            nouns=(
                "country road|country lane|rural road|back road|road through fields|road in the countryside|"
                "rural highway"
            ),
            phrases=(
                "on a country road|along a rural road|in the countryside|down a country lane|through the fields|"
                "out in the country"
            ),
            clauses="the road is a country road|it is a rural road|we are in the countryside|this is a country lane",
        ),
        "town": wording(
            nouns=(
                "village street|inner-city street|city centre street|town street|city street|street|town road|"
                "urban road|residential street|street in town|city road|"
                "suburban street"
            ),
            phrases=(
                "in the city centre|through a village|in a village|in town|in the city|through town|through a city|"
                "along a town street|down a city street|"
                "in a suburb|downtown"
            ),
            clauses=(
                "the road is a town street|it is a city street|we are in town|this is an urban street|"
                "houses line the street"
            ),
        ),
    },
    "traffic": {
        "none": wording(
            adjectives="empty|deserted|lonely|traffic-free|abandoned",
            nouns=(
                "not one car|no traffic at all|no traffic|no other cars|an empty road|no cars|no other vehicles|"
                "nobody else|no one else|zero traffic"
            ),
            phrases=(
                "without traffic|with no other cars|without other cars|with nobody around|all alone|without any traffic"
            ),
            clauses=(
                "the road is empty|there is no traffic|nobody else is on the road|there are no other cars|we are alone"
            ),
            changes="the road empties|traffic disappears|everybody else leaves|the traffic goes away|all cars vanish",
        ),
        "light": wording(
            adjectives="quiet|calm",
            nouns=(
                "hardly any traffic|only a few cars|light traffic|little traffic|a few cars|some traffic|"
                "sparse traffic|moderate traffic|some cars|"
                "few cars"
            ),
            phrases=(
                "in light traffic|with light traffic|with a few other cars|with some traffic|with little traffic|"
                "in sparse traffic"
            ),
            clauses=(
                "traffic is light|there is little traffic|there are a few cars|the road is quiet|there is some traffic"
            ),
            changes=(
                "traffic thins out|traffic gets lighter|the road gets quieter|the traffic eases|traffic calms down"
            ),
        ),
        "dense": wording(
            adjectives="busy|crowded|congested|packed|jammed",
            nouns=(
                "bumper to bumper traffic|stop-and-go traffic|crowds of cars|heavy traffic|dense traffic|"
                "a traffic jam|rush hour|many cars|lots of traffic|congestion|"
                "lots of cars|much traffic"
            ),
            phrases=(
                "bumper to bumper|in stop-and-go traffic|in heavy traffic|in dense traffic|with heavy traffic|"
                "at rush hour|in a traffic jam|with many cars|"
                "among many vehicles"
            ),
            clauses=(
                "traffic is heavy|the traffic is dense|the road is busy|there are many cars|"
                "there is a lot of traffic|it is rush hour"
            ),
            changes=(
                "traffic builds up|traffic gets heavier|the road fills up|it gets busy|a jam forms|more cars join"
            ),
        ),
    },
    "event": {
        "none": wording(
            adjectives="uneventful",
            nouns="nothing special|no incident|no events|an uneventful drive|no surprises",
            phrases="without incident|without surprises|with nothing happening",
            clauses="nothing happens|nothing special happens|the drive is uneventful",
        ),
        "hard_brake": wording(
            nouns=(
                "hard braking ahead|an emergency stop ahead|a leader that brakes hard|sudden braking of the car ahead"
            ),
            phrases="behind a car that brakes hard|with the leader braking hard|behind a sudden emergency stop",
            clauses=(
                "the car ahead brakes hard|the car in front brakes suddenly|the leader slams on the brakes|"
                "the leading car brakes"
            ),
            changes="the car ahead starts braking hard|the vehicle in front suddenly brakes|the leader brakes hard",
        ),
        "cut_in": wording(
            nouns=(
                "a cut-in|a car cutting in|somebody cutting in|a car that merges in front of us|a cut in from the side"
            ),
            phrases="with a car cutting in|while somebody cuts in",
            clauses=(
                "a car cuts in|someone cuts in ahead|another car cuts us off|a vehicle merges right in front of us"
            ),
            changes="a car cuts in front of us|somebody cuts in|a car swerves into our lane",
        ),
        "stopped_vehicle": wording(
            nouns=(
                "a stopped vehicle|a broken-down car|a stopped car ahead|a stationary car in the lane|"
                "a vehicle standing still"
            ),
            phrases="towards a stopped car|behind a broken-down vehicle|with a stationary vehicle in the way",
            clauses="a car has stopped in our lane|a vehicle stands in the lane|a broken-down car blocks the lane",
            changes="a stopped vehicle appears|a stationary car comes into view",
        ),
        "slow_truck": wording(
            nouns="a slow truck|a slow lorry ahead|a crawling truck|a slow truck ahead|a slow heavy vehicle",
            phrases="behind a slow truck|following a slow lorry|stuck behind a truck",
            clauses=(
                "a truck crawls ahead|a slow lorry is in front of us|we are stuck behind a truck|"
                "a truck is going slowly"
            ),
            changes="a slow truck appears|a slow lorry comes into view|we catch up with a slow truck",
        ),
        "pedestrian": wording(
            nouns=(
                "a pedestrian|a pedestrian crossing|someone on foot in the road|a person in the road|"
                "a pedestrian stepping out"
            ),
            phrases="with a pedestrian stepping out|with a person crossing",
            clauses=(
                "a pedestrian steps out|a person crosses the road|somebody walks into the road|a pedestrian is crossing"
            ),
            changes="a pedestrian steps into the road|a person steps out|somebody runs into the street",
        ),
    },
}

#: Said of two tags at once: text, its place in a sentence, and the tags.
PAIRED: tuple[tuple[str, str, dict[str, str]], ...] = (
    ("sunny", "adjectives", {"weather": "clear", "time_of_day": "day"}),
    ("sunlit", "adjectives", {"weather": "clear", "time_of_day": "day"}),
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
ASIDES = (
    "trucks ahead", "a red car ahead", "mountains in the distance", "trees on both sides", "a bridge",
    "a long bend to the left", "slow bends", "cyclists", "a bus at the side", "a tunnel", "driving fast",
    "at a constant speed", "calm driving", "overtaking a van", "a motorbike behind us", "road works", "lorries",
    "a yellow taxi", "with music on", "a roundabout", "traffic lights", "two lanes", "cars parked at the side",
    "a river", "hills", "an old barn", "a truck", "white cars", "speed limit 80", "buildings", "a lorry ahead",
    "clouds", "overcast", "windy", "potholes", "trucks",
)  # fmt: skip

#: Words with a meaning of their own that are a letter away from a wording's: none of them is a slip of the pen.
LOOKALIKES = frozenset((
    "bacon", "baking", "bitter", "blight", "bread", "butter", "cache", "catcher", "clean", "clams", "counter",
    "county", "cover", "desert", "dining", "dusty", "factory", "failing", "farms", "fiends", "files", "filling",
    "forest", "forums", "fours", "frog", "heave", "horse", "horses", "house", "ladder", "lakes", "listen", "lists",
    "loft", "mountain", "musty", "parked", "picked", "packet", "pitcher", "pitches", "plane", "planes", "prison",
    "quilt", "raid", "rail", "rails", "reins", "ruins", "sail", "shires", "shore", "shrines", "sign", "signs",
    "skis", "slight", "snore", "spark", "stack", "stairs", "steam", "steel", "stick", "stone", "store", "stores",
    "story", "strange", "strong", "stretch", "thing", "things", "thick", "track", "tracks", "trail", "train",
    "trains", "tram", "trick", "tricks", "tower", "towers", "tree", "trees", "three", "vein", "wall", "walls",
    "white", "while", "whole", "winner", "world",
))  # fmt: skip
