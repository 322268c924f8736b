"""--watch: show a list again and again until it is interrupted from the keyboard."""

import dataclasses
import io
from collections.abc import Callable

from freezer_scheduler.commands.base import DONE, Command, CommandContext

_CLEAR = "\x1b[H\x1b[2J\x1b[3J"


def watch(command: Command, context: CommandContext, sleep: Callable[[float], None]) -> int:
    """Draw the list every `context.watch` seconds; Ctrl-C ends it with code 0.

    A first drawing that fails ends it too, since the words are wrong or nobody answers; a later one
    is an outage, which is shown in place of the list and may pass.
    """
    drawn = False
    try:
        while True:
            code, text = _drawn(command, context)
            if code != DONE and not drawn:
                context.err.write(text)
                return code
            drawn = True
            # Written at once, so that the terminal does not flicker.
            context.out.write((_CLEAR if context.out.isatty() else "") + text)
            context.out.flush()
            sleep(context.watch or 0)
    except KeyboardInterrupt:
        return DONE


def _drawn(command: Command, context: CommandContext) -> tuple[int, str]:
    page = io.StringIO()
    code = command.run(dataclasses.replace(context, out=page, err=page))
    return code, page.getvalue()
