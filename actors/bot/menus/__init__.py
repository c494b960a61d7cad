"""The menus of the bot, one file each.

How a menu is added
-------------------
1. ``menus/users.py``: ends with the description of the menu, and is one line in ``menus/registry.py``::

       MENU = Menu(
           "users",                                  # the first word of what its buttons carry: "users:see:7"
           press,                                    # async def press(visit: Visit, args: list[str]) -> Screen
           looks=EVERYBODY,                          # the roles that may open it; for all others it is not there
           acts={"ban": Act(ban, by=OWNERS)},        # async def ban(visit: Visit, what: dict[str, Any]) -> Screen
           hears={"find": Hearing(found, by=OWNERS)},  # async def found(visit, text: str, what: dict[str, Any]) -> Screen
       )

   ``press`` gets what stands behind the first word (``["see", "7"]``; ``[]`` when the dashboard's button opens it) and
   answers with a Screen: words, rows of buttons (``visit.button("users.see", "users:see:7")``), maybe a toast or a picture.
   Numbers in the arguments are read with ``number``; what makes no sense raises ``visit.stale()``.

2. ``words/users.py``: WORDS, each line in all languages, is one line in ``words/__init__.py``. ``visit.say("users.title",
   name=...)`` makes HTML of it and escapes every value; ``visit.label(...)`` makes plain text, for buttons. The line
   ``users.menu`` is the button of the dashboard. What ``sql/`` refuses or keeps in English is told by ``visit.told(...)``:
   its sentences are in ``words/refusals.py`` and ``words/explained.py``, and tests/bot/test_tongues.py finds those that are not.

3. Whatever changes something asks twice: ``return await sure(visit, "users.ban", {"account": id}, text, back=...)`` shows
   "Sure?" with a yes that carries only a name, stands for five minutes, works once and only for who was asked. After the
   yes, ``acts["ban"]`` is called with that dict if the person's role, as it is then, is among ``by``. It changes things by
   the functions of ``sql/``, which audit; ``actor=visit.actor``. A Refused that it raises becomes a toast, and takes back
   all it had done. A menu offers a button only where ``visit.may(...)``: the walker in tests/bot presses every one.

4. To ask for a word or a number: ``return await listen(visit, "users.find", {}, text, back=...)``. The next message goes to
   ``hears["find"]``; a Refused that it raises is the answer, and the question stands.

All of it happens in the transaction that marks the update as handled: once, however often the bot dies. Nothing may wait for
the network in it; what has to goes out as a message to an actor.
"""
