#include "app/confinement.hpp"

#include "base/sanitized.hpp"

#include <cerrno>
#include <cstring>
#include <initializer_list>
#include <memory>
#include <sched.h>
#include <seccomp.h>
#include <sys/prctl.h>

namespace scoregate::app {

namespace {

using calls = std::initializer_list<const char*>;

constexpr calls other_programs{"execve", "execveat", "uselib"};
constexpr calls other_processes{"process_vm_readv", "process_vm_writev", "process_madvise", "pidfd_getfd", "kcmp"};
#if SCOREGATE_ADDRESS_SANITIZER
constexpr calls tracing{}; // its leak check stops threads by ptrace
#else
constexpr calls tracing{"ptrace"};
#endif
constexpr calls file_systems{"mount",
                             "umount",
                             "umount2",
                             "move_mount",
                             "open_tree",
                             "fsopen",
                             "fsconfig",
                             "fsmount",
                             "fspick",
                             "mount_setattr",
                             "pivot_root",
                             "chroot",
                             "mknod",
                             "mknodat",
                             "name_to_handle_at",
                             "open_by_handle_at",
                             "quotactl",
                             "quotactl_fd",
                             "swapon",
                             "swapoff"};
constexpr calls identities{"setuid",    "setgid",   "setreuid", "setregid", "setresuid", "setresgid",
                           "setgroups", "setfsuid", "setfsgid", "capset",   "unshare",   "setns"};
constexpr calls kernel_code{"kexec_load",    "kexec_file_load", "init_module", "finit_module",
                            "delete_module", "create_module",   "reboot"};
// Where many a hole in the kernel has been.
constexpr calls wide_doors{"bpf",
                           "perf_event_open",
                           "userfaultfd",
                           "io_uring_setup",
                           "io_uring_enter",
                           "io_uring_register",
                           "add_key",
                           "request_key",
                           "keyctl",
                           "personality",
                           "modify_ldt",
                           "iopl",
                           "ioperm",
                           "vm86",
                           "vm86old",
                           "nfsservctl",
                           "lookup_dcookie"};
constexpr calls the_machines{"acct",          "syslog",   "vhangup", "settimeofday", "clock_settime",
                             "clock_adjtime", "adjtimex", "stime",   "sethostname",  "setdomainname"};

using filter = std::unique_ptr<void, decltype(&seccomp_release)>;

// Flags of clone() that make namespaces. clone3() has its flags in memory, where no filter sees them: it does not
// exist, and glibc makes threads by clone() then.
bool deny_namespaces(const filter& to) {
    for (const unsigned flag :
         {CLONE_NEWNS, CLONE_NEWCGROUP, CLONE_NEWUTS, CLONE_NEWIPC, CLONE_NEWUSER, CLONE_NEWPID, CLONE_NEWNET}) {
        const scmp_arg_cmp has_it{0, SCMP_CMP_MASKED_EQ, flag, flag};
        if (seccomp_rule_add_array(to.get(), SCMP_ACT_ERRNO(EPERM), SCMP_SYS(clone), 1, &has_it) != 0) return false;
    }
    return seccomp_rule_add(to.get(), SCMP_ACT_ERRNO(ENOSYS), SCMP_SYS(clone3), 0) == 0;
}

bool deny(const filter& to, const calls& some) {
    for (const auto* const call : some) {
        const int number = seccomp_syscall_resolve_name(call);
        // Below zero: of another architecture, or of a later time than the library.
        if (number >= 0 && seccomp_rule_add(to.get(), SCMP_ACT_ERRNO(EPERM), number, 0) != 0) return false;
    }
    return true;
}

std::string failure(const char* what) { return std::string("cannot confine itself: ") + what; }

} // namespace

std::optional<std::string> confine() {
    if (::prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0) return failure("PR_SET_NO_NEW_PRIVS: ") + std::strerror(errno);
    const filter made(seccomp_init(SCMP_ACT_ALLOW), seccomp_release);
    if (!made) return failure("no memory for a seccomp filter");
    // A search instead of one comparison after another; and no slower memory for the sake of programs that run code of
    // strangers (Speculative Store Bypass), which this one does not.
    bool whole = seccomp_attr_set(made.get(), SCMP_FLTATR_CTL_TSYNC, 1) == 0 &&
                 seccomp_attr_set(made.get(), SCMP_FLTATR_CTL_OPTIMIZE, 2) == 0 &&
                 seccomp_attr_set(made.get(), SCMP_FLTATR_CTL_SSB, 1) == 0 && deny_namespaces(made);
    for (const auto& each :
         {other_programs, other_processes, tracing, file_systems, identities, kernel_code, wide_doors, the_machines})
        whole = whole && deny(made, each);
    if (!whole) return failure("the seccomp filter cannot be made");
    if (const int error = seccomp_load(made.get()); error != 0)
        return failure("the kernel takes no seccomp filter: ") + std::strerror(-error);
    return std::nullopt;
}

} // namespace scoregate::app
