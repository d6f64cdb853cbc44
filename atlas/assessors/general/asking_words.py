"""The words by which a request asks for a deed, from general knowledge of what people write."""


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


# What a trusted request tells to do. A verb here is enough; words that are as often something else are below.
ASKING_VERBS: dict[str, frozenset[str]] = {
    "creates": _words(
        """
        create add make write save store upload register append draft compose put log record generate
        build set schedule book invite upvote play
        """
    ),
    "changes": _words(
        """
        update modify edit change rename move set adjust replace restore configure assign organize merge
        rearrange sync put swap correct fix switch exchange return turn increase decrease raise lower
        extend postpone mark label apply convert customize complete upgrade add reschedule schedule
        """
    ),
    "schedules": _words(
        """
        book reserve schedule reschedule remind rsvp enroll subscribe unsubscribe confirm accept order
        arrange plan request register appointment reservation reminder recurring set
        """
    ),
    "deletes": _words(
        """
        delete remove erase wipe drop uninstall kill terminate rid discard clean clear purge destroy
        cancel kick empty trash
        """
    ),
    "stops": _words(
        """
        cancel revoke stop end disable block archive close deactivate suspend ban clear reset undo discard
        remove delete unsubscribe freeze pause shut
        """
    ),
    "sends": _words(
        """
        send email mail message text tell inform notify post publish tweet reply respond answer forward
        contact call ask remind announce submit sms dm write share invite broadcast vote report export
        """
    ),
    "shares": _words("invite grant allow authorize permit unlock share unblock whitelist promote welcome"),
    "pays": _words(
        """
        pay transfer withdraw buy purchase sell donate refund wire reimburse invest trade deposit tip
        repay checkout bid stake lend borrow
        """
    ),
    "executes": _words(
        """
        execute run install deploy launch compile reboot restart start test debug backup
        """
    ),
    "controls": _words(
        """
        turn switch open close lock unlock start stop set move drive clean cook heat cool bring put fly
        """
    ),
}
# What a deed is about: it is asked for where the request also wishes that something is done about it.
ASKING_MATTERS: dict[str, frozenset[str]] = {
    "schedules": _words("meeting event calendar hotel flight table restaurant car taxi ride ticket room"),
    "creates": _words("meeting event calendar file document list account entry task playlist appointment"),
    "changes": _words("address password setting settings profile plan subscription order payment"),
    "deletes": _words("file files duplicate duplicates spam"),
    "stops": _words("subscription order alarm"),
    "sends": _words("email mail message letter channel"),
    "shares": _words("access guest guests member collaborator visit permission"),
    "pays": _words(
        """
        bill bills invoice rent owe debt fee cost money payment funds refund euro dollar bitcoin btc eth
        ether crypto bought subscription order share difference amount price spent
        """
    ),
    "executes": _words(
        """
        command script terminal program process processes package server computer system folder directory
        disk file files software
        """
    ),
    "controls": _words("door light lights temperature robot oven kitchen room thermostat traffic"),
}
GIVING = _words("send give make order get share split book")  # a deed whose object says which
WISHES = _words(
    """
    care handle deal settle sort arrange process manage complete set ensure
    """
)

BEFORE_PARTICIPLE = _words("be get gets want wants need needs have make please to should must")
