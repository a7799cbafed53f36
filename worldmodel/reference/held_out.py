"""Wordings that readers of sentences are never trained on, to see whether they read what they were not shown.

They are made of words, or of other forms of words, that ``phrases.TRAINED`` has too: a reader cannot know a word it
never met, and must say so.
"""

from __future__ import annotations

from worldmodel.reference.phrases import Table, wording

HELD_OUT: Table = {
    "weather": {
        "clear": wording(
            adjectives="fairly dry",
            nouns="fair weather|dry conditions|clear conditions",
            phrases="in fair weather|on dry roads|in bright weather",
            clauses="the weather is fine|skies are clear|the road stays dry",
            changes="the weather turns fine|it turns dry",
        ),
        "rain": wording(
            adjectives="raining|showery",
            nouns="pouring rain|drizzling rain|rainy weather|a heavy shower",
            phrases="in drizzle|on a wet road|in pouring rain|through rain",
            clauses="it pours|heavy rain is falling|it drizzles|everything is wet|showers come down",
            changes="it begins raining|a downpour starts|a shower begins",
            endings="rain ends|the downpour stops",
        ),
        "fog": wording(
            adjectives="fogged-in|fog-covered",
            nouns="heavy fog|dense mist|foggy weather|low visibility",
            phrases="in a haze|in heavy mist|in misty weather|through thick mist",
            clauses="the road is foggy|it is misty|thick fog covers everything",
            changes="mist rolls in|fog gathers|it becomes misty",
            endings="the mist lifts|the haze disappears",
        ),
        "snow": wording(
            adjectives="snowing|snow-filled",
            nouns="thick snow|a snowy road|wintry conditions|snow showers",
            phrases="on a snowy road|during a blizzard|through falling snow",
            clauses="heavy snow is falling|the road is snowy|snowflakes are falling|snow lies on the road",
            changes="it begins snowing|snowfall begins|a blizzard starts",
            endings="snow stops falling|the blizzard ends",
        ),
    },
    "time_of_day": {
        "day": wording(
            adjectives="bright daytime",
            nouns="bright daylight|the middle of the day|a bright day|day time",
            phrases="at midday hours|in bright daylight|on a bright day",
            clauses="it is broad daylight|it is midday",
            changes="it becomes daytime|morning comes",
        ),
        "dusk": wording(
            adjectives="evening-time|setting-sun",
            nouns="the setting sun|evening twilight|the evening",
            phrases="at nightfall|in the evening light|under a setting sun",
            clauses="the evening is falling|the sun is about to set|dusk is falling",
            changes="twilight falls|the sun begins to set|evening falls",
        ),
        "night": wording(
            adjectives="very dark|night-dark",
            nouns="pitch darkness|a night drive|the night",
            phrases="through the night|in the dark of night|in pitch darkness",
            clauses="the road is dark|night is falling|it is late at night",
            changes="it goes dark|it becomes dark|night sets in",
        ),
    },
    "road_kind": {
        "motorway": wording(
            nouns="many-lane motorway|multi-lane freeway|broad motorway|broad highway",
            phrases="down the motorway|along an interstate|on a dual carriageway",
            clauses="we drive on a highway|the road is an interstate",
        ),
        "country": wording(
            nouns="countryside road|rural lane|country highway|road in the country",
            phrases="in the country|along a country lane|on a back road|past fields",
            clauses="we are on a rural road|fields line the road",
        ),
        "town": wording(
            nouns="downtown street|urban street|street in the city|street in a village",
            phrases="in a town|along an urban road|in the suburbs|on a street in town",
            clauses="we are in the city|this is a town street",
        ),
    },
    "traffic": {
        "none": wording(
            adjectives="car-free|emptied",
            nouns="nobody else on the road|no vehicles|not any car|no other traffic",
            phrases="without any car|with no one around|on an empty road",
            clauses="there is nobody else|there are no cars|we are all alone",
            changes="the road becomes empty|all traffic vanishes",
        ),
        "light": wording(
            adjectives="fairly quiet",
            nouns="very little traffic|just a few cars|few other cars",
            phrases="with few cars|in quiet traffic|with sparse traffic",
            clauses="there is light traffic|traffic is sparse|there are some cars",
            changes="traffic becomes light|the traffic gets sparse",
        ),
        "dense": wording(
            adjectives="very busy|jam-packed",
            nouns="a lot of traffic|busy traffic|a lot of cars|crowded lanes|rush-hour traffic",
            phrases="among lots of cars|in busy traffic|in rush-hour traffic|with dense traffic",
            clauses="there is heavy traffic|the road is crowded|there is a traffic jam|the road is packed",
            changes="traffic becomes heavy|traffic gets very dense|the road gets crowded",
        ),
    },
    "event": {
        "none": wording(
            nouns="no special events|nothing happening",
            phrases="without any incident|without events",
            clauses="there are no surprises",
        ),
        "hard_brake": wording(
            nouns="a car ahead that brakes hard|sudden braking ahead",
            phrases="behind a car braking suddenly",
            clauses="the vehicle ahead brakes hard|the leader brakes suddenly",
            changes="the car in front slams on the brakes",
        ),
        "cut_in": wording(
            nouns="somebody who cuts in|a vehicle cutting in ahead",
            phrases="with someone cutting in",
            clauses="someone cuts us off|another vehicle cuts in",
            changes="a vehicle cuts in",
        ),
        "stopped_vehicle": wording(
            nouns="a stationary vehicle|a stopped car in our lane",
            phrases="behind a stopped vehicle",
            clauses="a stopped car blocks the lane|a car is standing still ahead",
            changes="a broken-down vehicle appears",
        ),
        "slow_truck": wording(
            nouns="a slowly crawling lorry|a slow truck in front of us",
            phrases="stuck behind a slow lorry",
            clauses="a truck is crawling ahead|a slow truck is ahead",
            changes="a crawling lorry appears",
        ),
        "pedestrian": wording(
            nouns="a person crossing|a pedestrian in the road",
            phrases="with a pedestrian in the road",
            clauses="a person walks into the road|a pedestrian crosses",
            changes="somebody steps into the street",
        ),
    },
}

HELD_OUT_ASIDES = (
    "vans ahead", "a blue lorry", "a forest", "steep hills", "an ambulance", "a tram", "sharp bends",
    "a level crossing", "a green truck in the next lane", "driving gently", "at high speed", "a petrol station",
    "deer", "a motorcycle", "parked vans", "three lanes", "a castle", "graffiti",
)  # fmt: skip
