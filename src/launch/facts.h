/* Facts that observed processes report about themselves, whether or not they record
 * anything, so that `lockstep capture` can explain why nothing was recorded. They are
 * datagrams to a socket beside the channel's, so a process needs no ring for them and never
 * waits. A fact is a line such as "python=-I"; unrecorded.c lists them all. */
#ifndef LS_LAUNCH_FACTS_H
#define LS_LAUNCH_FACTS_H

enum { LS_FACTS_BYTES = 4096 };

typedef struct ls_facts ls_facts;

/* Listens beside the channel of this name. NULL on failure: then nothing is known. */
ls_facts *ls_facts_open(const char *channel);
/* Receives what has been sent, and frees. `out` gets the facts as printable text, each once
 * and followed by a newline; facts that don't fit are dropped. NULL is allowed. */
void ls_facts_close(ls_facts *facts, char out[LS_FACTS_BYTES]);

#endif
