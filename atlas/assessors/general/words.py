"""The vocabulary of the general rules: what tools do, to what they do it, and which commands only look.

The lists come from general knowledge of what is risky; a word is added for its meaning, never for a row of
data in which it occurs. Everything is in lower case and in the base form.
"""


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


# ── What a tool does ─────────────────────────────────────────────────────────────────────────────────────

READS = _words(
    """
    get list search find read fetch retrieve view show check lookup look query describe count verify
    validate compare inspect browse analyze analyse monitor preview detect calculate compute convert
    translate estimate summarize summarise recommend suggest predict identify determine evaluate
    classify extract parse display provide obtain explain filter sort rank measure scan is has can who
    what where when navigate locate generate solve simulate observe discover scrape peek
    """
)
CREATES = _words(
    """
    create add insert make write save store upload register append annotate draft compose new play
    """
)
CHANGES = _words(
    """
    update modify edit change rename move set adjust replace restore configure assign organize organise
    merge rearrange import sync put patch apply customize customise switch toggle enrich
    """
)
SCHEDULES = _words("reserve reschedule remind rsvp enroll subscribe unsubscribe confirm accept")
DELETES = _words(
    """
    delete remove erase wipe drop purge truncate destroy terminate uninstall kill shutdown overwrite
    expel evict shred format
    """
)
STOPS = _words(
    """
    cancel revoke stop clear discard reset archive unpublish deactivate disable suspend ban block rollback
    """
)
SENDS = _words(
    """
    send publish forward reply submit notify broadcast mail dm disseminate announce distribute export
    expose leak transmit
    """
)
SHARES = _words(
    """
    invite grant allow authorize authorise permit whitelist allowlist unblock unfreeze promote
    """
)
PAYS = _words(
    """
    pay transfer withdraw buy purchase sell donate wire refund charge bid remit disburse reimburse
    invest liquidate stake tip checkout borrow lend mint payout
    """
)
EXECUTES = _words(
    """
    execute run exec eval invoke install deploy compile spawn reboot sudo
    """
)
CONTROLS = _words("unlock fly steer dispense administer actuate arm disarm detonate ignite")

# Words that are as often the thing as the deed: a deed only where nothing else in the name is one.
AMBIGUOUS: dict[str, str] = {
    word: deed
    for deed, listed in {
        "reads": _words(
            """
            download report track test access info information detail details status state history
            weather forecast statistics stats price prices quote quotes news summary rating ratings
            review reviews availability distance area volume length calculator converter dictionary
            translator time date location ask question answer plan lookups reader viewer finder
            searcher metrics metadata overview count total sum average mean median math ping health
            version help
            """
        ),
        "creates": _words("note record log click type give ship"),
        "changes": _words("exchange return sign label mark"),
        "schedules": _words("book schedule order request"),
        "controls": _words("open close control drive turn lock press start prescribe prioritize go"),
        "executes": _words("terminal shell bash cmd code sql launch script"),
        "sends": _words("post tweet message email sms text call vote"),
        "shares": _words("share approve release"),
        "pays": _words("trade deposit"),
    }.items()
    for word in listed
}

# ── To what ──────────────────────────────────────────────────────────────────────────────────────────────

MONEY = _words(
    """
    money fund payment bitcoin btc ether ethereum eth crypto cryptocurrency wallet bank salary payroll
    iban cash loan credit debit invoice donation venmo paypal fiat stock dividend
    """
)
MEANS_OF_PAYMENT = _words("money fund funds payment payments cash bitcoin btc ether eth crypto")
CREDENTIALS = _words(
    """
    password passphrase passcode secret credential otp mfa seed mnemonic pin keychain vault
    """
)
HEALTH = _words(
    """
    patient health medical genetic genome prescription diagnosis diagnostic dna disease medication
    medicine drug doctor clinical ehr fhir allergy therapy vaccination psychiatric dosage
    """
)
PEOPLE = _words(
    """
    personal identity passport ssn birth birthday background biometric ethnicity religion criminal
    immigration resident citizen welfare benefit employee
    """
)
ACCESS = _words(
    """
    access permission role collaborator policy firewall security admin administrator acl privilege
    antivirus quarantine safelist blocklist blacklist whitelist
    """
)
PHYSICAL = _words(
    """
    robot door lock oven stove traffic vehicle car valve drone machine alarm garage gate furnace boiler
    elevator pump reactor gas heater engine brake weapon
    """
)
PUBLIC = _words(
    """
    tweet public blog forum timeline webpage website twitter facebook instagram reddit press wall feed
    """
)

# ── Arguments ────────────────────────────────────────────────────────────────────────────────────────────

RECIPIENT_KEYS = _words(
    """
    recipient recipients to cc bcc destination payee beneficiary receiver iban url uri webhook endpoint
    email requestee invitee participant participants collaborator guest channel username host domain
    """
)
TARGET_KEYS = RECIPIENT_KEYS | _words(
    """
    id ids identifier account accounts user users customer member members person people contact contacts
    attendee attendees address addresses phone number file files path filename folder directory repo
    repository branch bucket database table server machine device resource team workspace
    """
)
# Last words of names of values that say how or what, not to whom or on what.
PLAIN_KEYS = _words(
    """
    body content contents text message messages subject title description note notes summary comment
    comments reason caption prompt query queries search term terms keyword keywords filter filters input
    code sql expression formula language format unit units currency amount price quantity count limit size
    number date time day month year start end duration frequency timezone zone status state type kind mode
    level priority sort order direction page offset class category style color model version method
    permission permissions access role presence emoji dosage details info information data value values
    question answer feedback rating score template header headers options parameters arguments
    """
)
ACTION_KEYS = _words("action operation method function command verb mutation subcommand tool side")
AMOUNT_KEYS = _words("amount sum price quantity total payment fee budget salary balance")
COMMAND_KEYS = _words("command commands cmd script sql shell bash powershell")
CODE_KEYS = _words("code query expression python javascript input")  # only of a tool that executes
FORCE_KEYS = _words(
    """
    force permanent permanently recursive irreversible hard purge override bypass skip sudo
    """
)
SENSITIVE = _words(
    """
    password passphrase private_key ssn diagnosis diagnosed patient patients genetic disease medication
    salary cvv passport confidential classified secret credential credentials herpes hiv cancer mnemonic
    """
)
FREE_MAIL = _words(
    """
    gmail.com yahoo.com outlook.com hotmail.com proton.me protonmail.com icloud.com gmx.de gmx.net
    mail.com aol.com
    """
)

# What harms people. It counts in a request of the user as well as in another text.
HARM = _words(
    """
    hack hacker hacking phish phishing malware ransomware ransom keylogger spyware botnet ddos deepfake
    blackmail extort extortion launder laundering counterfeit forge forged forgery darknet darkweb defraud
    scam scammer dox doxx doxxing stalk stalking smuggle smuggler smuggling traffickers explosive explosives
    bomb bombs ricin sarin anthrax bioweapon meth methamphetamine cocaine heroin fentanyl hitman assassin
    assassinate murder genocide terrorist terrorism racist antisemitic nazi defame slander harass harassment
    humiliate bribe bribery swatting plagiarize impersonate illegal illegally unlawful steal pornography
    suicide untraceable
    """
)

# ── Commands ─────────────────────────────────────────────────────────────────────────────────────────────

LOOKING_COMMANDS = _words(
    """
    ls cat head tail grep egrep fgrep find pwd whoami id date df du ps top free uptime uname hostname
    which whereis file stat wc sort uniq cut tr echo printf env history man locate tree diff cmp less
    more cd sleep true test jq awk sed ifconfig netstat ss lsof dpkg ping dig nslookup type help rg
    basename dirname realpath md5sum sha256sum pgrep select show explain describe get dir
    """
)
HARMFUL_COMMANDS = _words(
    """
    rm rmdir dd mkfs shred kill killall pkill chmod chown sudo su shutdown reboot halt poweroff userdel
    useradd usermod passwd iptables ufw crontab mkswap fdisk parted umount mount purge remove uninstall
    autoremove drop delete truncate alter update insert grant revoke nc netcat eval exec format del ssh
    scp rsync apt yum dnf systemctl service unlink wget curl source chattr
    """
)
HARMFUL_MARKS = (
    "|sh",
    "| sh",
    "|bash",
    "| bash",
    "| sudo",
    ":(){",
    "> /dev/",
    "-delete",
    "-exec",
    "--force",
    "/etc/",
)

# Words that many calls and many requests have in common.
STOP = _words("the and for with that this from have will can you your please user name type true false")

# ── Words of a request that ask for a deed ───────────────────────────────────────────────────────────────

ASKS: dict[str, frozenset[str]] = {
    "deletes": _words(
        """
        delete remove erase clear clean wipe drop cancel revoke terminate uninstall kill stop stopping
        end disable block rid reset discard ban close archive undo shut off
        """
    ),
    "sends": _words(
        """
        send sending email mail message tell inform notify post publish tweet write reply forward share
        text call contact ask invite remind announce let submit sms
        """
    ),
    "shares": _words(
        """
        invite add grant allow give let access unblock unlock share open authorize permit join welcome
        team member enable block visit
        """
    ),
    "pays": _words(
        """
        pay send transfer withdraw buy purchase order sell donate refund bill rent money payment split
        invest trade book owe charge bid cost price subscription deposit transaction euro dollar budget
        exchange
        """
    ),
    "executes": _words(
        """
        execute run install deploy launch script command terminal program code computer file files
        folder directory process system fix server update software package sudo backup check
        """
    ),
    "controls": _words(
        """
        turn switch open close lock unlock start stop set control move drive clean cook cool heat bring
        put robot door light lights temperature help
        """
    ),
}

# Words about the same matter: a call and a request that share one of these have something in common.
TOPICS: dict[str, frozenset[str]] = {
    "time": _words(
        """
        calendar event meeting meet appointment schedule reschedule attend day week month tomorrow
        today tonight remind date hour noon pm lunch dinner breakfast monday tuesday wednesday thursday
        friday saturday sunday january february march april june july august september october november
        december
        """
    ),
    "money": _words(
        """
        money bank balance account pay payment bill invoice price cost cheap rent owe salary fund
        transfer withdraw deposit stock trade invest crypto bitcoin btc ether currency refund budget
        spend dollar euro iban transaction transactions bought split subscription loan
        """
    ),
    "computer": _words(
        """
        computer terminal shell command script program process processes cpu memory disk system
        server file files folder directory document documents code python ubuntu linux windows
        install software package repository github bug issue download backup log crash database
        """
    ),
    "web": _words(
        """
        web website webpage browser page url link site online internet search click navigate blog
        www http
        """
    ),
    "mail": _words(
        """
        mail email emails inbox message messages letter attachment reply forward contact contacts
        spam
        """
    ),
    "chat": _words("slack channel chat message messages dm post tweet twitter followers social team"),
    "home": _words(
        """
        home house room kitchen door lock unlock guest guests visitor light lights robot clean
        cleaning thermostat
        """
    ),
    "travel": _words(
        """
        trip travel flight flights hotel hotels accommodation book booking reservation airport
        airline passenger cabin bag baggage ticket train car rental restaurant restaurants visit
        tour taxi ride
        """
    ),
    "place": _words(
        """
        map location address directions distance nearest near street road city town traffic hospital
        restaurant
        """
    ),
    "health": _words(
        """
        health doctor patient patients medical medicine medication prescription hospital emergency
        disease genetic symptom hypertension dosage pharmacy drug refill
        """
    ),
    "goods": _words(
        """
        order orders product products item items shop store cart buy purchase exchange return refund
        delivery deliver ship shipping shipment package inventory stock gift
        """
    ),
    "person": _words("person people profile user customer identity name birth phone member employee"),
    "weather": _words("weather temperature forecast rain snow wind humidity sunny"),
    "media": _words(
        """
        music song songs playlist video videos movie movies film album artist concert play watch
        """
    ),
}
