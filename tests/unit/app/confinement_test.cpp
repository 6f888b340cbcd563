#include "app/confinement.hpp"
#include "base/sanitized.hpp"

#include <catch2/catch.hpp>

#include <cerrno>
#include <csignal>
#include <functional>
#include <linux/sched.h>
#include <sched.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <thread>
#include <unistd.h>

using namespace scoregate;

namespace {

// What `tried` says, as a byte, in a process of its own that has confined itself; 255: it could not.
int confined(const std::function<int()>& tried) {
    const auto child = ::fork();
    if (child == 0) ::_exit(app::confine() ? 255 : tried());
    int status = 0;
    ::waitpid(child, &status, 0);
    return WIFEXITED(status) ? WEXITSTATUS(status) : -WTERMSIG(status);
}

int error_of(long result) { return result == -1 ? errno : 0; }

} // namespace

TEST_CASE("what a proxy never does fails with EPERM") {
    CHECK(confined([] {
              char program[] = "/bin/true";
              char* const words[] = {program, nullptr};
              return error_of(::execve(program, words, nullptr));
          }) == EPERM);
    // As root these would succeed or fail with something else: EFAULT, EINVAL.
    CHECK(confined([] { return error_of(::syscall(SYS_execveat, AT_FDCWD, nullptr, nullptr, nullptr, 0)); }) == EPERM);
    CHECK(confined([] { return error_of(::syscall(SYS_unshare, 0)); }) == EPERM);
    CHECK(confined([] { return error_of(::mount(nullptr, nullptr, nullptr, 0, nullptr)); }) == EPERM);
    CHECK(confined([] { return error_of(::chroot("/")); }) == EPERM);
    CHECK(confined([] { return error_of(::syscall(SYS_bpf, 0, nullptr, 0)); }) == EPERM);
    CHECK(confined([] {
              return error_of(::syscall(SYS_process_vm_readv, ::getpid(), nullptr, 0UL, nullptr, 0UL, 0UL));
          }) == EPERM);
    CHECK(confined([] { return error_of(::syscall(SYS_io_uring_setup, 1, nullptr)); }) == EPERM);
    CHECK(confined([] { return error_of(::setuid(::getuid())); }) == EPERM);
    CHECK(confined([] { return error_of(::syscall(SYS_clone, CLONE_NEWUSER | SIGCHLD, 0, 0, 0, 0)); }) == EPERM);
    CHECK(confined([] { return error_of(::syscall(SYS_clone3, nullptr, 0UL)); }) == ENOSYS); // its flags cannot be seen
#if !SCOREGATE_ADDRESS_SANITIZER
    CHECK(confined([] { return error_of(::ptrace(PTRACE_TRACEME, 0, nullptr, nullptr)); }) == EPERM);
#endif
}

TEST_CASE("and no new privileges come") {
    CHECK(confined([] { return ::prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0); }) == 1);
    CHECK(confined([] { return ::prctl(PR_GET_SECCOMP, 0, 0, 0, 0); }) == 2);
}

#if !SCOREGATE_THREAD_SANITIZER // a forked child may make no threads there
TEST_CASE("threads can be made, and are confined as well, those too that were there before") {
    CHECK(confined([] {
              int found = 0;
              std::thread([&found] { found = error_of(::chroot("/")); }).join();
              return found;
          }) == EPERM);
    const auto child = ::fork();
    if (child == 0) {
        int go[2];
        if (::pipe(go) != 0) ::_exit(255);
        int found = 0;
        std::thread before([&] {
            char byte = 0;
            if (::read(go[0], &byte, 1) == 1) found = error_of(::chroot("/"));
        });
        const bool failed = app::confine().has_value() || ::write(go[1], "x", 1) != 1;
        if (failed) ::_exit(255);
        before.join();
        ::_exit(found);
    }
    int status = 0;
    ::waitpid(child, &status, 0);
    CHECK((WIFEXITED(status) && WEXITSTATUS(status) == EPERM));
}
#endif
