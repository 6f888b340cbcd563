#include "app/program_run.hpp"

#include "base/descriptor.hpp"

#include <algorithm>
#include <array>
#include <cerrno>
#include <csignal>
#include <cstdlib>
#include <cstring>
#include <fcntl.h>
#include <poll.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

namespace scoregate::app {

using base::descriptor;

namespace {

using steady_clock = std::chrono::steady_clock;

constexpr std::chrono::seconds patience_with_end{3}; // between SIGTERM and SIGKILL
constexpr std::size_t longest_line = 4096;           // what is longer comes in pieces

std::vector<char*> pointers_to(std::vector<std::string>& words) {
    std::vector<char*> all;
    all.reserve(words.size() + 1);
    for (auto& each : words) all.push_back(each.data());
    all.push_back(nullptr);
    return all;
}

std::vector<std::string> environment_of(const program& one) {
    std::vector<std::string> all;
    const auto is_set_anew = [&one](std::string_view variable) {
        const auto name = variable.substr(0, variable.find('=') + 1);
        return std::any_of(one.environment.begin(), one.environment.end(),
                           [name](const std::string& each) { return each.starts_with(name); });
    };
    for (char** each = environ; *each != nullptr; ++each)
        if (!is_set_anew(*each)) all.emplace_back(*each);
    all.insert(all.end(), one.environment.begin(), one.environment.end());
    return all;
}

// 0, or an errno. What this process ignores or blocks is as usual for the program.
int start(const program& one, int output, pid_t& made) {
    posix_spawn_file_actions_t files;
    posix_spawn_file_actions_init(&files);
    posix_spawn_file_actions_addopen(&files, STDIN_FILENO, "/dev/null", O_RDONLY, 0);
    posix_spawn_file_actions_adddup2(&files, output, STDOUT_FILENO);
    posix_spawn_file_actions_adddup2(&files, output, STDERR_FILENO);
    posix_spawnattr_t how;
    posix_spawnattr_init(&how);
    sigset_t signals;
    sigemptyset(&signals);
    posix_spawnattr_setsigmask(&how, &signals);
    for (const int number : {SIGPIPE, SIGHUP, SIGINT, SIGTERM, SIGUSR1}) sigaddset(&signals, number);
    posix_spawnattr_setsigdefault(&how, &signals);
    posix_spawnattr_setflags(&how, POSIX_SPAWN_SETSIGDEF | POSIX_SPAWN_SETSIGMASK);
    auto words = one.words, environment = environment_of(one);
    const int wrong = ::posix_spawnp(&made, one.words.front().c_str(), &files, &how, pointers_to(words).data(),
                                     pointers_to(environment).data());
    posix_spawnattr_destroy(&how);
    posix_spawn_file_actions_destroy(&files);
    return wrong;
}

class lines {
public:
    explicit lines(const std::function<void(std::string_view)>& to) : to_(to) {}
    void add(std::string_view bytes) {
        for (const char each : bytes) {
            if (each != '\n') text_ += each;
            if (each == '\n' || text_.size() == longest_line) end();
        }
    }
    void end() {
        if (!text_.empty()) to_(text_);
        text_.clear();
    }

private:
    const std::function<void(std::string_view)>& to_;
    std::string text_;
};

// Ends of children are asked for: not given away, as a first process does with those of orphans.
class ends_of_children {
public:
    ends_of_children() : before_(std::signal(SIGCHLD, SIG_DFL)) {}
    ~ends_of_children() { std::signal(SIGCHLD, before_); }
    ends_of_children(const ends_of_children&) = delete;
    ends_of_children& operator=(const ends_of_children&) = delete;

private:
    sighandler_t before_;
};

int milliseconds_until(steady_clock::time_point when) {
    const auto left = std::chrono::ceil<std::chrono::milliseconds>(when - steady_clock::now());
    return static_cast<int>(std::max<std::chrono::milliseconds::rep>(left.count(), 0));
}

// Reads until the program has closed its output. Says why it had to be ended, if it had.
std::optional<std::string> follow(pid_t process, int output, std::chrono::seconds limit, int until, lines& out) {
    std::optional<std::string> ended;
    auto deadline = steady_clock::now() + limit;
    std::array<char, 4096> part{};
    for (;;) {
        std::array<pollfd, 2> watched{pollfd{output, POLLIN, 0}, pollfd{ended ? -1 : until, POLLIN, 0}};
        const int ready = ::poll(watched.data(), watched.size(), milliseconds_until(deadline));
        if (ready < 0) {
            if (errno == EINTR) continue;
            ::kill(process, SIGKILL);
            return std::string("cannot be followed: ") + std::strerror(errno);
        }
        if (watched[0].revents != 0) {
            const auto n = ::read(output, part.data(), part.size());
            if (n <= 0) return ended;
            out.add({part.data(), static_cast<std::size_t>(n)});
        }
        const bool late = steady_clock::now() >= deadline; // whatever it still says
        if (ended && late) {
            ::kill(process, SIGKILL);
            return ended;
        }
        if (!ended && (late || watched[1].revents != 0)) {
            ended = late ? "took longer than " + std::to_string(limit.count()) + " s" : "was told to end";
            ::kill(process, SIGTERM);
            deadline = steady_clock::now() + patience_with_end;
        }
    }
}

// Its status, once it has closed its output; it is killed if it goes on for long after that. None: nobody knows.
std::optional<int> end_of(pid_t process) {
    constexpr int between_looks = 10; // ms
    const auto deadline = steady_clock::now() + patience_with_end;
    for (;;) {
        int status = 0;
        const auto ended = ::waitpid(process, &status, WNOHANG);
        if (ended == process) return status;
        const auto now = steady_clock::now();
        // What the kernel does not let go even then, such as of a volume that hangs, is not waited for.
        if ((ended < 0 && errno != EINTR) || now >= deadline + patience_with_end) return std::nullopt;
        if (now >= deadline) ::kill(process, SIGKILL);
        ::poll(nullptr, 0, between_looks);
    }
}

} // namespace

std::optional<std::string> run(const program& one, std::chrono::seconds limit, int until,
                               const std::function<void(std::string_view)>& line) {
    std::array<int, 2> pipe{};
    if (::pipe2(pipe.data(), O_CLOEXEC) != 0) return std::string("cannot be started: ") + std::strerror(errno);
    const descriptor output(pipe[0]);
    descriptor input(pipe[1]);
    const ends_of_children kept;
    pid_t process = 0;
    if (const int wrong = start(one, input.number(), process); wrong != 0)
        return std::string("cannot be started: ") + std::strerror(wrong);
    input = descriptor(); // the program's alone, so that its end is seen
    lines out(line);
    auto ended = follow(process, output.number(), limit, until, out);
    out.end();
    const auto status = end_of(process);
    if (ended) return ended;
    if (!status) return "ended, and how is not known";
    if (WIFEXITED(*status) && WEXITSTATUS(*status) == 0) return std::nullopt;
    return WIFEXITED(*status) ? "ended with status " + std::to_string(WEXITSTATUS(*status))
                              : std::string("was killed: ") + ::strsignal(WTERMSIG(*status));
}

bool is_installed(const std::string& name) {
    const char* const folders = std::getenv("PATH");
    std::string_view rest = folders != nullptr ? folders : "/usr/bin:/bin";
    while (!rest.empty()) {
        const auto end = std::min(rest.find(':'), rest.size());
        std::string path(rest.substr(0, end));
        if (::access(path.append("/").append(name).c_str(), X_OK) == 0) return true;
        rest.remove_prefix(std::min(end + 1, rest.size()));
    }
    return false;
}

} // namespace scoregate::app
