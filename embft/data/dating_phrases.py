"""The phrase tables of the built-in dating dataset, written for it.

Holds words only; `dating.py` makes sentences and pairs of them.
"""

from __future__ import annotations

from typing import Final

# category -> subcategory -> the topics of two ways of living that do not go together. Each topic
# can be liked and disliked. The order counts: the splits take different stretches of it.
TOPICS: Final[dict[str, dict[str, tuple[str, str]]]] = {
    "lifestyle": {
        "social_life": (
            "loud parties | nights out dancing | big crowds of people | packed bars | "
            "club nights until dawn | busy house parties | going out every weekend",
            "quiet evenings at home | staying in with a book | peaceful nights on the couch | "
            "calm weekends indoors | cosy nights in | silent evenings by the fire | time alone",
        ),
        "rhythm": (
            "early mornings | getting up at dawn | sunrise walks | a long day that starts at six | "
            "waking before the birds | being in bed by ten | breakfast at first light",
            "late nights | sleeping until noon | staying up past midnight | lazy mornings in bed | "
            "working through the night | lie-ins on every free day | suppers at eleven at night",
        ),
        "exercise": (
            "hard workouts at the gym | running marathons | daily training | long bike rides | "
            "lifting weights | swimming laps before work | team sports on Saturdays",
            "lazing on the sofa | doing nothing all day | long afternoon naps | "
            "slow days without exercise | slouching in front of the television | "
            "weekends spent lying down | sitting around in pyjamas",
        ),
        "travel": (
            "travel to far countries | backpacking abroad | living out of a suitcase | "
            "long journeys to new places | exploring foreign cities | spontaneous flights | "
            "months on the road",
            "holidays at home | the same old village every summer | never leaving town | "
            "a settled life in one place | free weeks spent in the garden | "
            "sticking to familiar places | sleeping in my own bed all year",
        ),
    },
    "values": {
        "money": (
            "saving for the future | careful budgets | putting money aside | thrift | "
            "counting every penny | living below my means | planning for retirement",
            "spending freely | expensive shopping sprees | living on credit | luxury brands | "
            "blowing a whole month's pay | costly treats | buying whatever catches the eye",
        ),
        "career": (
            "a demanding career | working long hours | climbing the ladder at work | "
            "chasing the next promotion | ambitious job goals | business calls on weekends | "
            "professional success before everything",
            "short working days | leaving the office on time | putting free time before work | "
            "a modest job without stress | part-time work | turning the work phone off at five | "
            "a slow life without career goals",
        ),
        "faith": (
            "going to church | daily prayer | a life guided by faith | religious traditions | "
            "Sunday worship | reading scripture together | grace before meals",
            "a life without religion | a strictly secular household | Sundays without church | "
            "the view that there is no god | atheism | doubting every creed | "
            "a wedding without a priest",
        ),
        "planet": (
            "cutting down on waste | buying second-hand | going without a car | "
            "living lightly on the planet | recycling everything | saving energy at home | "
            "trains instead of planes",
            "fast cars and big engines | throwaway fashion | short flights for fun | "
            "a new phone every year | petrol-hungry trucks | heating with the windows open | "
            "single-use everything",
        ),
    },
    "interests": {
        "outdoors": (
            "hiking in the mountains | camping in a tent | days in the forest | "
            "fishing by a lonely lake | climbing rocks | canoe trips down wild rivers | "
            "sleeping under the stars",
            "shopping malls | city pavements | hotel lobbies | days spent entirely indoors | "
            "rooftop terraces downtown | busy streets and neon lights | "
            "comfortable hotels with room service",
        ),
        "screens": (
            "reading novels | bookshops | poetry | an evening with a thick book | "
            "public libraries | literary classics | book clubs",
            "watching television all evening | endless series marathons | video games | "
            "scrolling on the phone | online gaming | binge-watching whole seasons | "
            "reality shows",
        ),
        "food": (
            "spicy street food | trying strange new dishes | exotic restaurants | "
            "cooking without a recipe | unusual ingredients | tasting menus full of surprises | "
            "raw fish and hot curries",
            "plain home cooking | the same meal every day | simple meat and potatoes | "
            "mild food without surprises | bread and butter dinners | the usual dish every time | "
            "food that tastes like childhood",
        ),
        "music": (
            "live rock concerts | heavy metal | electric guitars | festivals with huge speakers | "
            "punk bands in sweaty cellars | loud drums | front-row gigs",
            "soft piano music | classical quartets | hushed opera evenings | gentle string music | "
            "chamber concerts | quiet lute songs | a string orchestra on Sunday",
        ),
    },
    "family": {
        "children": (
            "raising children | a house full of kids | becoming a parent | a big family | "
            "having babies soon | bedtime stories with little ones | "
            "bringing up sons and daughters",
            "a life without children | staying childless | a home with no kids | "
            "the freedom of not being a parent | a childfree marriage | never having babies | "
            "a future for two adults alone",
        ),
        "relatives": (
            "living close to my parents | Sunday lunch with all the relatives | "
            "weekly visits from the in-laws | holidays with the whole clan | "
            "calling my mother every day | large family gatherings | cousins who drop by",
            "keeping relatives at a distance | a life far from my parents | "
            "skipping family reunions | holidays without the in-laws | "
            "hardly ever seeing relatives | independence from the family | Christmas without kin",
        ),
        "pets": (
            "sharing a home with dogs | a cat on the bed | rescuing animals | long dog walks | "
            "puppies | living with pets | a flat full of furry friends",
            "a home without animals | a flat free of pets | floors without dog hair | "
            "life with no cat around | a house where no pet is allowed | "
            "furniture that no animal touches | a pet-free home",
        ),
        "commitment": (
            "getting married | a big white wedding | settling down for good | "
            "promises for a lifetime | engagement rings | growing old together as spouses | "
            "vows before witnesses",
            "casual dating | flings without promises | staying unmarried | "
            "keeping things loose | short romances | no-strings affairs | "
            "relationships with an open end",
        ),
    },
    "habits": {
        "smoking": (
            "smoking | cigarettes after dinner | a pack of cigarettes a day | cigars | "
            "rolling tobacco | lighting up on the balcony | smoke breaks",
            "a smoke-free home | clean air without tobacco | a life without cigarettes | "
            "strict bans on smoking | evenings with no ashtray on the table | "
            "tobacco-free company | non-smoking rooms",
        ),
        "alcohol": (
            "drinking beer every night | whisky | wine with every meal | getting drunk | "
            "rounds of shots | cocktail hours | pub crawls",
            "sober evenings | a life without alcohol | dry weekends | "
            "parties without a drop of liquor | alcohol-free drinks only | staying sober | "
            "a house with no bottle in it",
        ),
        "tidiness": (
            "a spotless kitchen | everything in its place | cleaning every day | tidy rooms | "
            "neatly folded laundry | polished floors | an orderly household",
            "creative mess | piles of clothes on the floor | dirty dishes in the sink | "
            "a cluttered home | unmade beds | chaos in every room | leaving things lying around",
        ),
        "gambling": (
            "betting on horses | nights at the casino | poker for real money | slot machines | "
            "gambling online | risking cash on football results | roulette",
            "keeping away from casinos | a life without bets | games without stakes | "
            "never risking money on cards | evenings with no wager | "
            "leaving luck out of my finances | card games for matchsticks",
        ),
    },
}

# What each split may say. A topic stands where "{}" is. No phrasing is in two splits.
LIKES: Final[dict[str, tuple[str, ...]]] = {
    "train": (
        "I love {}",
        "I really enjoy {}",
        "I'm a big fan of {}",
        "I live for {}",
        "I'm passionate about {}",
        "I can't get enough of {}",
        "I feel at home with {}",
        "My ideal life includes {}",
        "I always look forward to {}",
        "Nothing suits me better than {}",
        "I'm all for {}",
        "I get a lot of joy out of {}",
        "I'm enthusiastic about {}",
        "I'm devoted to {}",
        "I cherish {}",
        "I thrive on {}",
        "I'm a great believer in {}",
        "I gladly make time for {}",
        "I say yes to {} any day",
        "I have always liked {}",
        "I find {} wonderful",
        "I'm glad of {}",
    ),
    "dev": (
        "I adore {}",
        "I'm very fond of {}",
        "I'm happiest with {}",
        "I warmly recommend {}",
        "I'm wild about {}",
        "I have a passion for {}",
    ),
    "test": (
        "I have a great liking for {}",
        "I take great pleasure in {}",
        "I have a real soft spot for {}",
        "I'm keen on {}",
        "I'm delighted by {}",
        "I treasure {}",
        "I've always been drawn to {}",
        "My heart beats faster for {}",
        "I'm thrilled by {}",
        "I heartily approve of {}",
    ),
}
DISLIKES: Final[dict[str, tuple[str, ...]]] = {
    "train": (
        "I hate {}",
        "I really dislike {}",
        "I can't stand {}",
        "I try to avoid {}",
        "I've never cared for {}",
        "I get nothing out of {}",
        "I have no patience with {}",
        "I'm not the type for {}",
        "I want no part of {}",
        "I feel out of place with {}",
        "I'm against {}",
        "Nothing puts me off more than {}",
        "I despise {}",
        "I dread {}",
        "I'm fed up with {}",
        "I shun {}",
        "I don't believe in {}",
        "I refuse to put up with {}",
        "I say no to {} every time",
        "I have never liked {}",
        "I find {} dreadful",
        "I'm weary of {}",
    ),
    "dev": (
        "I detest {}",
        "I'm tired of {}",
        "I'm unhappy with {}",
        "I would warn anyone off {}",
        "I'm annoyed by {}",
        "I have a horror of {}",
    ),
    "test": (
        "I can't bear {}",
        "I take no pleasure in {}",
        "I have a real aversion to {}",
        "I'm sick of {}",
        "I'm bored by {}",
        "I loathe {}",
        "I've always resented {}",
        "I feel nothing but disgust for {}",
        "I'm repelled by {}",
        "I heartily disapprove of {}",
    ),
}
WANTS: Final[dict[str, tuple[str, ...]]] = {
    "train": (
        "I could only date someone who loves {}",
        "I need a partner who enjoys {}",
        "My partner has to be into {}",
        "I'm looking for someone who says yes to {}",
        "It's a must that my partner likes {}",
        "I dream of a partner who appreciates {}",
        "I would gladly date a fan of {}",
    ),
    "dev": (
        "I want to be with someone who adores {}",
        "Only a fan of {} will win my heart",
        "I would choose a partner who is fond of {}",
    ),
    "test": (
        "The right one for me is crazy about {}",
        "I hope for a partner who is keen on {}",
        "I would fall for anyone drawn to {}",
        "I want a partner who delights in {}",
        "I'd love to meet somebody devoted to {}",
    ),
}
REFUSES: Final[dict[str, tuple[str, ...]]] = {
    "train": (
        "I could never date someone who loves {}",
        "I don't want a partner who enjoys {}",
        "My partner must not be into {}",
        "I'm looking for someone who says no to {}",
        "It's a dealbreaker if my partner likes {}",
        "I would break up with a partner who favours {}",
        "I would never date a fan of {}",
    ),
    "dev": (
        "I won't be with someone who adores {}",
        "No fan of {} will ever win my heart",
        "I would leave a partner who is fond of {}",
    ),
    "test": (
        "I refuse to date anyone who is crazy about {}",
        "I reject any partner who is keen on {}",
        "I would never fall for anyone drawn to {}",
        "I can't accept a partner who delights in {}",
        "I'd hate to meet somebody devoted to {}",
    ),
}
# How a sentence may begin; half of them begin at once.
LEADS: Final[dict[str, tuple[str, ...]]] = {
    "train": ("Honestly, ", "To be frank, ", "These days "),
    "dev": ("In all honesty, ", "As you may guess, "),
    "test": ("If I'm honest, ", "As my friends know, ", "Truth be told, "),
}
JOINS: Final[dict[str, tuple[str, ...]]] = {
    "train": (" and ", ", and ", "; also, "),
    "dev": (", and besides, ", " and "),
    "test": (", and on top of that ", ", and "),
}
