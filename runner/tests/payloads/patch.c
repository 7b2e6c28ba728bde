/*
 * A live patch as people write them by hand: two functions of Xen that are replaced, one of which
 * uses a function of Xen. What else is in it depends on the macros that tests define.
 */

typedef unsigned char u8;
typedef unsigned int u32;

#define HIDDEN __attribute__((visibility("hidden")))
#define IN(name) __attribute__((section(name), used))

/* struct livepatch_func of Xen's public/sysctl.h, version 2. */
struct function {
    const char *name;
    const void *new_addr, *old_addr;
    u32 new_size, old_size;
    u8 version, pad[39], expectation[32];
};

extern const char *xen_changeset(void) HIDDEN;

const char *patched_extra_version(void)
{
    return "-shape";
}

/* Not inlined, so that there is a call within the payload. */
__attribute__((noinline)) static const char *named(const char *changeset)
{
    return *changeset ? changeset : "none";
}

const char *patched_deny(void)
{
    return named(xen_changeset());
}

#ifndef TARGET
/* Nobody calls it for a control domain. */
#define TARGET "xen_deny"
#endif

#ifdef READ_ONLY_FUNCTIONS
const
#endif
struct function functions[] IN(".livepatch.funcs") = {
    { .name = "xen_extra_version", .new_addr = patched_extra_version,
      .new_size = 16, .old_size = 16, .version = 2 },
#ifdef NOPS
    { .name = TARGET, .new_size = NOPS, .old_size = NOPS, .version = 2 },
#else
    { .name = TARGET, .new_addr = patched_deny,
      .new_size = 16, .old_size = 16, .version = 2 },
#endif
};

#ifdef HOOKS
static void loaded(void) { }
static int agreed(void) { return 0; }
void (*const load[])(void) IN(".livepatch.hooks.load") = { loaded, loaded };
int (*const before)(void) IN(".livepatch.hooks.preapply") = agreed;
#endif

/* Changes a byte between two functions of Xen, which nobody executes, and leaves it so. */
#if defined(SPOILS_AT_APPLY) || defined(SPOILS_AT_REVERT)
static void spoil(void) { *((volatile u8 *)xen_changeset + PADDING) = 0x5a; }
#endif
#ifdef SPOILS_AT_APPLY
void (*const spoils[])(void) IN(".livepatch.hooks.load") = { spoil };
#endif
#ifdef SPOILS_AT_REVERT
void (*const spoils[])(void) IN(".livepatch.hooks.unload") = { spoil };
#endif

#ifdef RELUCTANT
/* Refuses the first REVERT (EPERM), and agrees to the next one. */
static int refused;
static int reluctant(void) { return refused++ ? 0 : -1; }
int (*const before_revert)(void) IN(".livepatch.hooks.prerevert") = reluctant;
#endif

#ifdef METADATA
const char metadata[] IN(".modinfo") = "author=nobody\0ticket=7";
#endif

#ifdef LONG_NAMES
u32 a_function_with_a_name_of_40_characters_(void) { return 40; }
u32 of_127_characters(void) __asm__(LONG_NAMES);
u32 of_127_characters(void) { return 127; }
#endif

#ifdef DATA
u32 counter = 1;
u32 zeroes[1000];
u32 count(void) { return zeroes[0] += counter++; }
#endif

#ifdef TABLES
/* What macros of Xen leave behind: a place in the code, and what is to be known about it. */
__asm__(".pushsection .bug_frames.1, \"a\"\n .balign 4\n .long patched_deny - ., 0\n .popsection\n"
        ".pushsection .ex_table, \"a\"\n .balign 4\n .long patched_deny - ., patched_deny - .\n .popsection\n"
        ".pushsection .altinstructions, \"a\"\n"
        " .long patched_deny - ., 1f - .\n .word 10\n .byte 1, 0, 0, 0\n .popsection\n"
        ".pushsection .altinstr_replacement, \"ax\"\n 1:\n .popsection\n");
#endif

#ifdef COMMON
u32 shared;
#endif

#ifdef NAME_OF_XENS
const char *xen_changeset_of_ours(void) __asm__("xen_compiler");
const char *xen_changeset_of_ours(void) { return ""; }
#endif

#ifdef UNKNOWN_SYMBOL
extern void no_such_function(void) HIDDEN;
void caller(void) { no_such_function(); }
#endif
