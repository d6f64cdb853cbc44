"""Words and hosts that stand in so many texts that they say nothing about where a value came from."""

_WORDS = """
about above after again against agent all also although always among another answer any anyone anything
are area around ask available away back because been before begin being below best better between both
bring button call came can cannot case change check choose city clear close code come complete content
copy could country create current customer daily data date day days dear default delete description detail
details document does done down draft during each early east edit either else email empty enable enabled
end enough error even event ever every everyone everything example false field file files final find first
five follow following folder format found four free friday from full further general get give given gmail
good group had half hand have hello help here high him his home host hour hours how however http https
image important include index info information inside instead into invoice item items its january february
march april may june july august september october november december just keep kind know known label large
last late later latest least leave left less level like line link list little local long look low made
mail main make manager many match maximum mean medium meeting message middle minimum minute minutes mode
monday month monthly more most move much must name near need never new next night none normal north not
note notes nothing now null number off office often old once one only onto open order other others our out
over own page part pending people per person phone place please point possible private problem project
public put query question quick range rather read ready really reason receive recent regards related
remove reply report request required result results return review right room rule same saturday save
search second see select send sent server service set several shall share short should show side similar
simple since single site size small some someone something soon south special standard start state status
step still stop string subject such summary sunday sure system table take task team tell text than thank
thanks that the their them then there these they thing things think this those three through thursday time
times title today together tomorrow tool top total true tuesday two type under undefined unknown until
update upon urgent use used user users using value version very via view want was way wednesday week
weekly weeks welcome well were west what when where whether which while whole will with within without
word work world would write year yearly years yes yesterday you your ascending descending active inactive
admin editor owner viewer member guest reader writer approved rejected cancelled completed failed success
warning debug critical markdown plain json html utf8 english german french spanish euro dollar dollars
euros ascii auto manual internal external optional primary secondary
"""
WORDS = frozenset(_WORDS.split())
"""Statuses, roles, formats, days and months among them, which are often the choices of a tool's schema."""

HOSTS = frozenset(
    [
        "github.com",
        "gitlab.com",
        "google.com",
        "docs.google.com",
        "drive.google.com",
        "mail.google.com",
        "youtube.com",
        "wikipedia.org",
        "en.wikipedia.org",
        "microsoft.com",
        "office.com",
        "linkedin.com",
        "twitter.com",
        "x.com",
        "facebook.com",
        "amazon.com",
        "apple.com",
        "slack.com",
        "zoom.us",
        "gmail.com",
        "outlook.com",
        "hotmail.com",
        "yahoo.com",
        "localhost",
        "example.com",
    ]
)
