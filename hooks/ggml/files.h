/* The files with weights that this process has opened: those that begin like a GGUF file, or like ggml's older ones. */
#ifndef LS_HOOKS_FILES_H
#define LS_HOOKS_FILES_H

/* Sends the paths of those that were opened since the last call. */
void files_send(void);
/* The next call sends all of them: a forked child introduces itself. */
void files_send_again(void);

#endif
