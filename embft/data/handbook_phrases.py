"""The words of the built-in set `handbook`: an invented company's tools, its pages, and questions.

Pages call each tool by its own name and each thing to do by the house's word for it; questions say
both in everyday words.
"""

from __future__ import annotations

from typing import NamedTuple


class Tool(NamedTuple):
    """A tool of the company. name: the house's; about: how its pages say what it is for, in their
    own words; asked: what people call what it handles, for questions.
    """

    name: str
    about: str
    asked: tuple[str, str, str]


class Task(NamedTuple):
    """Something to do with a tool. heading and pages: as pages say it, where {tool} stands for the
    tool's name; plain: what some pages add for newcomers; asked: as people ask, where {thing}
    stands for what they call what it handles.
    """

    heading: str
    plain: str
    pages: tuple[str, str]
    asked: tuple[str, str, str, str]


TOOLS = (
    Tool(
        "Quill",
        "makes out bills to clients",
        ("invoices", "bills to our clients", "the invoice I send out"),
    ),
    Tool(
        "Larder",
        "holds shared documents",
        ("stored files", "our document folder", "the files on the drive"),
    ),
    Tool(
        "Roost",
        "keeps a card on each member of staff",
        ("staff records", "the employee list", "people's personal details"),
    ),
    Tool("Almanac", "plans who works when", ("shifts", "the work schedule", "the duty calendar")),
    Tool(
        "Halyard",
        "packs data to be used elsewhere",
        ("data exports", "the spreadsheet downloads", "getting my data out"),
    ),
    Tool(
        "Ferry",
        "loads data from older systems",
        ("data imports", "uploaded spreadsheets", "bringing our old data in"),
    ),
    Tool(
        "Beacon",
        "sends notices when something happens",
        ("alerts", "push notifications", "warning messages"),
    ),
    Tool(
        "Turnstile",
        "checks who comes in, by name and secret word",
        ("signing in", "logins", "passwords"),
    ),
    Tool(
        "Chorus",
        "carries talk among colleagues",
        ("team chat", "group messages", "conversations with colleagues"),
    ),
    Tool(
        "Prism",
        "draws figures on one screen",
        ("dashboards", "the charts page", "graphs of our numbers"),
    ),
    Tool(
        "Mooring",
        "keeps second copies in a safe place",
        ("backups", "saved copies of everything", "the nightly copy"),
    ),
    Tool(
        "Cairn",
        "notes who did what and when",
        ("the activity log", "the audit trail", "the record of changes"),
    ),
    Tool(
        "Anvil",
        "lets other programs speak with ours",
        ("the API", "our scripts' access", "integrations we coded"),
    ),
    Tool(
        "Hearth",
        "gathers what clients ask of us",
        ("support tickets", "customer complaints", "help requests from clients"),
    ),
    Tool(
        "Loom",
        "strings steps into routines that need nobody",
        ("automations", "automatic workflows", "rules that run by themselves"),
    ),
    Tool(
        "Ledgerline",
        "sets what each department may spend",
        ("budgets", "spending limits of departments", "the yearly spending plan"),
    ),
    Tool(
        "Satchel",
        "brings the suite to a mobile",
        ("the phone app", "the mobile version", "the app on my tablet"),
    ),
    Tool(
        "Tally",
        "counts the hours that people work",
        ("time sheets", "working hours", "clocking in and out"),
    ),
    Tool(
        "Postern",
        "is our page for the public on the web",
        ("our public website", "the web page visitors see", "the site's front page"),
    ),
    Tool(
        "Granary",
        "counts the goods on the shelves",
        ("stock levels", "warehouse inventory", "items we have left"),
    ),
)

TASKS = (
    Task(
        "First launch",
        "Setting it up and starting to use it.",
        (
            "To launch {tool}, an owner opens the harbour, picks {tool} and presses Cast off.",
            "{tool} sleeps until an owner casts it off in the harbour, which takes a minute.",
        ),
        (
            "How do we start using {thing}?",
            "What must be done before {thing} can be used for the first time?",
            "where do I switch on {thing}",
            "We are new here: how are {thing} set up?",
        ),
    ),
    Task(
        "Laying up",
        "Switching it off for everybody.",
        (
            "An owner lays {tool} up in the harbour; nothing is lost and it may be launched again.",
            "Once laid up, {tool} is hidden from every crew until an owner relaunches it.",
        ),
        (
            "How can I turn off {thing} completely?",
            "We no longer want {thing}, can it be disabled?",
            "stop {thing} for the whole company",
            "Is there a way to deactivate {thing} for now?",
        ),
    ),
    Task(
        "Lending a key",
        "Sharing it with other people.",
        (
            "Press Lend in {tool} and name a crewmate, who then sees what you see.",
            "A lent key opens one part of {tool} to a crewmate and is taken back at any time.",
        ),
        (
            "How do I share {thing} with a colleague?",
            "Can I let a coworker see {thing}?",
            "give someone else access to {thing}",
            "My teammate should be able to view {thing}, what do I do?",
        ),
    ),
    Task(
        "Closing the hatch",
        "Deciding who has permission to see it.",
        (
            "Hatches in {tool} keep out all but the ranks that an owner ticks.",
            "To narrow {tool} to certain ranks, close its hatch and tick those who stay.",
        ),
        (
            "Can I restrict {thing} to managers?",
            "How do I keep most people out of {thing}?",
            "limit who may look at {thing}",
            "Only three of us should see {thing}: how?",
        ),
    ),
    Task(
        "Tongues",
        "Choosing another language for it.",
        (
            "{tool} speaks the tongue of each crewmate's card, or else that of the harbour.",
            "Pick another tongue under Card and {tool} follows at the next tide.",
        ),
        (
            "How do I change the language of {thing}?",
            "Can {thing} be shown in French?",
            "translate {thing} for our Spanish office",
            "I want to read {thing} in German, where is that set?",
        ),
    ),
    Task(
        "Moving berth",
        "Transferring it to a different company account.",
        (
            "A berth move carries {tool} from one company account to another, with all its past.",
            "Both owners must sign before {tool} changes its berth.",
        ),
        (
            "How can {thing} be transferred to another account?",
            "Our company merged, can we take {thing} to the new account?",
            "move {thing} over to a different organisation",
            "Can I hand {thing} over to a new owner's account?",
        ),
    ),
    Task(
        "Dues",
        "Prices and what a plan includes.",
        (
            "Dues for {tool} follow the number of berths and are drawn on the first of the month.",
            "{tool} comes free with the Sloop plan; on a Skiff it adds to the dues.",
        ),
        (
            "What does it cost to use {thing}?",
            "Are {thing} included in our subscription?",
            "price of {thing} per month",
            "Do we pay extra for {thing}?",
        ),
    ),
    Task(
        "Squall codes",
        "Errors, and what to do about them.",
        (
            "A squall in {tool} shows a red flag with four digits: refit, then try again.",
            "If {tool} meets a squall twice, copy its four digits to the lighthouse.",
        ),
        (
            "I get an error message with {thing}, what now?",
            "{thing} fail with a red code, how do I fix it?",
            "something is broken with {thing}",
            "Why does a failure appear whenever I use {thing}?",
        ),
    ),
    Task(
        "Headwind",
        "When it loads slowly.",
        (
            "Headwind in {tool} comes of too many open sails: furl those that no one looks at.",
            "When {tool} runs into headwind, furl old sails and trim the span of dates.",
        ),
        (
            "Why are {thing} so slow?",
            "It takes ages to load {thing}.",
            "speed up {thing}",
            "How do I make {thing} respond faster?",
        ),
    ),
    Task(
        "Tides",
        "Running it on a regular schedule.",
        (
            "A tide makes {tool} do its work at the same hour each day or week.",
            "Set a tide in {tool} and it runs unattended, also on Sundays.",
        ),
        (
            "Can {thing} be scheduled for every Monday?",
            "How do I have {thing} happen at a fixed time each day?",
            "run {thing} weekly without me",
            "I need {thing} to recur every month, is that possible?",
        ),
    ),
    Task(
        "Salvage",
        "Restoring what was deleted.",
        (
            "What went overboard in {tool} lies in the net for forty days and can be salvaged.",
            "Salvage in {tool}: open the net, tick, haul in.",
        ),
        (
            "I deleted something from {thing} by mistake, can I get it back?",
            "How do I restore removed {thing}?",
            "undo deletion of {thing}",
            "Is there a recycle bin for {thing}?",
        ),
    ),
    Task(
        "Repainting the name",
        "Changing a name or title.",
        (
            "Tap the plate in {tool} to repaint a name; older links still find it.",
            "A name in {tool} may be repainted by whoever wrote it first.",
        ),
        (
            "How do I rename something in {thing}?",
            "Can the title of {thing} be edited later?",
            "change what {thing} are called",
            "There is a typo in the name of {thing}, how is it corrected?",
        ),
    ),
    Task(
        "Splicing",
        "Merging duplicate entries.",
        (
            "Splice joins two entries of {tool} that are the same; the older one's number stays.",
            "Before you splice in {tool}, see which half is kept in the right margin.",
        ),
        (
            "How do I merge duplicates in {thing}?",
            "The same entry is there twice in {thing}, can I combine them?",
            "join two identical entries of {thing}",
            "Can double records in {thing} be put together?",
        ),
    ),
    Task(
        "Message in a bottle",
        "Sending it by email.",
        (
            "A bottle brings a page of {tool} to any inbox, as a picture and as text.",
            "Throw a bottle from {tool} and the page drifts to the address that you give.",
        ),
        (
            "Can I get {thing} by email?",
            "How do I mail a copy of {thing} to someone outside?",
            "send {thing} to my inbox",
            "I would like {thing} sent to my email address",
        ),
    ),
    Task(
        "Shallow water",
        "Using it offline, without internet.",
        (
            "In shallow water {tool} works from memory and catches up when the line is back.",
            "{tool} keeps seven days aboard for shallow water; more needs a wider hold.",
        ),
        (
            "Do {thing} work without internet?",
            "How can I use {thing} offline on a train?",
            "no connection, can I still open {thing}",
            "What happens with {thing} when the network is down?",
        ),
    ),
    Task(
        "Going ashore",
        "Removing a person who has left.",
        (
            "When a crewmate goes ashore, strike them from {tool}; their work passes to the bosun.",
            "Strike a name in {tool} on the last day and its keys sink at midnight.",
        ),
        (
            "Someone left the company, how do I remove them from {thing}?",
            "How is a former employee's access to {thing} ended?",
            "take a person off {thing}",
            "What do I do with {thing} when a worker quits?",
        ),
    ),
    Task(
        "Wider hold",
        "Limits on size, and how to raise them.",
        (
            "The hold of {tool} takes ten thousand entries; an owner widens it in the harbour.",
            "When the hold is full, {tool} takes nothing more until it is widened.",
        ),
        (
            "We hit the maximum for {thing}, can it be raised?",
            "How much room is there for {thing}?",
            "increase the quota of {thing}",
            "It says there is no space left for {thing}, what can we do?",
        ),
    ),
    Task(
        "Lashing to other gear",
        "Connecting it with other software.",
        (
            "Lash {tool} to other gear by its hook: copy the knot, paste it over there.",
            "A hook lets outside gear pull from {tool}; cut it to stop that.",
        ),
        (
            "How do I connect {thing} with other software?",
            "Can {thing} be linked to our accounting program?",
            "hook up {thing} with another service",
            "Does {thing} work together with outside tools?",
        ),
    ),
    Task(
        "Colours",
        "Logo, design and branding.",
        (
            "Hoist your own colours in {tool}: a flag of at most one megabyte and two paints.",
            "{tool} wears the harbour's paint until colours are hoisted.",
        ),
        (
            "How can I put our logo on {thing}?",
            "Can the design of {thing} match our brand?",
            "change the look of {thing}",
            "Is it possible to use our own theme for {thing}?",
        ),
    ),
    Task(
        "Second lookout",
        "Approval of changes by a second person.",
        (
            "A second lookout must nod before {tool} lets a change through.",
            "Name two lookouts in {tool}, so that one may be on leave.",
        ),
        (
            "Can a change to {thing} require approval?",
            "How do I have someone sign off on {thing} first?",
            "two people must confirm {thing}",
            "I want my boss to review {thing} before they go live",
        ),
    ),
)

RELATED = (1, 0, 3, 2, 18, 15, 16, 8, 7, 13, 12, 12, 11, 2, 17, 3, 6, 14, 4, 3)
"""For each task the one whose page also helps."""
