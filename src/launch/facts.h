/* What observed processes tell about themselves whether or not they record anything,
 * so that `lockstep capture` can say why nothing was recorded. Datagrams to a socket
 * beside the channel's: a process that tells something needs no ring, and waits for
 * nothing. A fact is a line such as "python=-I"; unrecorded.c knows them all. */
#ifndef LS_LAUNCH_FACTS_H
#define LS_LAUNCH_FACTS_H

enum { LS_FACTS_BYTES = 4096 };

typedef struct ls_facts ls_facts;

/* Listens beside the channel of this name. NULL when it can't: then nothing is known. */
ls_facts *ls_facts_open(const char *channel);
/* Takes in what has been sent, and frees. The facts, each once and followed by a
 * newline, as printable text; those beyond the room are dropped. NULL is allowed. */
void ls_facts_close(ls_facts *facts, char out[LS_FACTS_BYTES]);

#endif
