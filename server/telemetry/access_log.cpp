#include "telemetry/access_log.hpp"

#include "config/forms.hpp"

#include <algorithm>
#include <cerrno>
#include <climits>
#include <csignal>
#include <random>
#include <system_error>
#include <utility>

#include <fcntl.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

namespace scoregate::telemetry {
namespace {

constexpr std::size_t block_size = 32 << 10;
constexpr std::size_t block_room = block_size + (8 << 10); // so that the line that fills a block fits it too

std::string error_text(int code) { return std::generic_category().message(code); }

// O_NONBLOCK: a FIFO without a reader is an error at once rather than a start that hangs.
int open_output(const std::string& path) {
    if (path == "-") return STDOUT_FILENO;
    if (config::is_syslog(path)) return open_syslog(path);
    return ::open(path.c_str(), O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC | O_NONBLOCK, 0640);
}

std::uint64_t lines_in(std::string_view text) {
    return static_cast<std::uint64_t>(std::count(text.begin(), text.end(), '\n'));
}

} // namespace

boost::system::result<std::unique_ptr<access_log>, std::string> access_log::open(options wanted) {
    const int fd = open_output(wanted.path);
    if (fd < 0) return "cannot open the access log " + wanted.path + ": " + error_text(errno);
    return std::unique_ptr<access_log>(new access_log(std::move(wanted), fd));
}

access_log::access_log(options wanted, int fd) : options_(std::move(wanted)) {
    use(fd);
    if (config::is_syslog(options_.path)) syslog_.emplace(options_.path, options_.facility);
    std::random_device seeds;
    for (unsigned core = 0; core < options_.cores; ++core) channels_.emplace_back(*this, seeds());
    // Signals are for the main thread; and with SIGPIPE blocked a closed pipe is an error like any other.
    sigset_t all, before;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    writer_ = std::thread(&access_log::run, this);
    pthread_sigmask(SIG_SETMASK, &before, nullptr);
}

access_log::~access_log() {
    stop();
    if (fd_ != STDOUT_FILENO) ::close(fd_);
}

void access_log::use(int fd) {
    fd_ = fd;
    struct stat is {};
    file_ = ::fstat(fd, &is) == 0 && S_ISREG(is.st_mode);
    torn_ = false;
}

void access_log::reopen() {
    {
        const std::lock_guard lock(mutex_);
        reopen_ = true;
    }
    wake_.notify_one();
}

void access_log::stop(std::chrono::milliseconds patience) {
    if (!writer_.joinable()) return;
    {
        const std::lock_guard lock(mutex_);
        for (auto& each : channels_)
            if (!each.text_.empty()) {
                each.pending_ += each.text_.size();
                handed_.push_back({std::exchange(each.text_, {}), &each});
            }
        give_up_at_ = clock::now() + patience;
        stopping_ = true;
    }
    wake_.notify_one();
    writer_.join();
}

std::uint64_t access_log::dropped() const {
    auto sum = lost_.value();
    for (const auto& each : channels_) sum += each.dropped_.value();
    return sum;
}

std::uint64_t access_log::left_out() const {
    std::uint64_t sum = 0;
    for (const auto& each : channels_) sum += each.left_out_.value();
    return sum;
}

void access_log::run() {
    std::vector<block> taken;
    std::unique_lock lock(mutex_);
    for (;;) {
        wake_.wait(lock, [&] { return !handed_.empty() || reopen_ || stopping_; });
        const bool last = stopping_;
        const bool again = std::exchange(reopen_, false);
        taken.swap(handed_);
        lock.unlock();

        if (again) open_again();
        for (auto& [text, from] : taken) {
            write(text);
            const auto written = text.size();
            text.clear();
            const std::lock_guard giving_back(mutex_);
            from->pending_ -= written;
            if (from->spare_.capacity() < text.capacity()) from->spare_.swap(text);
        }
        taken.clear();
        if (last) break;
        report();
        lock.lock();
    }
    report_limit_ = rate_limited(clock::duration::zero()); // the last word is always said
    report();
}

void access_log::write(std::string_view text) {
    if (syslog_)
        send_lines(text);
    else
        write_lines(text);
}

// Each as a datagram of its own, without its newline (RFC 5426, 3.1).
void access_log::send_lines(std::string_view text) {
    while (!text.empty()) {
        const auto line = text.substr(0, text.find('\n'));
        if (::send(fd_, line.data(), line.size(), MSG_NOSIGNAL) < 0) {
            if (errno == EINTR) continue;
            if (errno == EAGAIN) {
                if (wait_until_writable()) continue;
                break; // it is time to end
            }
            last_error_ = errno;
            write_errors_.add();
            if (errno != EMSGSIZE && find_daemon_again()) continue;
            lost_.add();
        }
        text.remove_prefix(line.size() + 1);
    }
    lost_.add(lines_in(text));
}

// A daemon that has been started anew has another socket, and the old one refuses. Looked for once a second.
bool access_log::find_daemon_again() {
    const auto now = clock::now();
    if (now - daemon_sought_ < std::chrono::seconds{1}) return false;
    daemon_sought_ = now;
    const int fd = open_output(options_.path);
    if (fd < 0) return false;
    ::close(fd_);
    use(fd);
    return true;
}

void access_log::write_lines(std::string_view text) {
    // A poll that says "writable" promises no more than PIPE_BUF bytes of a pipe that blocks, as an inherited stdout
    // does.
    const std::size_t most = file_ ? text.size() : PIPE_BUF;
    bool inside_line = false;
    while (!text.empty()) {
        if (!wait_until_writable()) break;
        const auto next = torn_ ? std::string_view{"\n"} : text.substr(0, most);
        const auto done = ::write(fd_, next.data(), next.size());
        if (done < 0 && (errno == EINTR || errno == EAGAIN)) continue;
        if (done < 0) {
            last_error_ = errno;
            write_errors_.add();
            break;
        }
        if (std::exchange(torn_, false) || done == 0) continue;
        text.remove_prefix(static_cast<std::size_t>(done));
        inside_line = text.data()[-1] != '\n';
    }
    lost_.add(lines_in(text));
    if (!text.empty()) torn_ = torn_ || inside_line;
}

// False: it is time to end and the output does not take the rest.
bool access_log::wait_until_writable() {
    if (file_) return true;
    for (;;) {
        auto step = std::chrono::milliseconds{100}; // how soon a stalled writer notices stop()
        if (stopping_) {
            const auto left = std::chrono::ceil<std::chrono::milliseconds>(give_up_at_ - clock::now());
            step = std::clamp(left, std::chrono::milliseconds{0}, step);
        }
        pollfd output{fd_, POLLOUT, 0};
        const int ready = ::poll(&output, 1, static_cast<int>(step.count()));
        if (ready > 0) return true; // or POLLERR: the write says what is wrong
        if (step.count() == 0) return false;
        report();
    }
}

void access_log::open_again() {
    if (options_.path == "-") return;
    const int fd = open_output(options_.path);
    if (fd < 0) {
        log().error("cannot reopen the access log {}: {}; still writing to the old file: mend its folder and send "
                    "SIGUSR1 again",
                    options_.path, error_text(errno));
        return;
    }
    ::close(fd_);
    use(fd);
}

void access_log::report() {
    const auto now_lost = dropped();
    const auto failed = write_errors();
    if (now_lost + failed == reported_) return;
    if (!report_limit_.allow(clock::now())) return;
    reported_ = now_lost + failed;
    log().error("access log {}: {} lines lost since the start: {}", options_.path, now_lost,
                failed ? "writing failed " + std::to_string(failed) + " times, last: " + error_text(last_error_)
                       : "the output does not keep up: a faster place, or access_log.sample_successes, loses none");
}

access_log::channel::channel(access_log& log, std::uint64_t seed)
    : log_(log), successes_(log.options_.sample_successes, seed) {
    text_.reserve(block_room);
}

void access_log::channel::write(const access_record& record) {
    const auto& wanted = log_.options_;
    if (succeeded(record) && record.duration < wanted.slow && !successes_.keep()) return left_out_.add();
    if (full_) return dropped_.add();
    if (log_.syslog_) log_.syslog_->append(text_, record.ts, let_down(record));
    if (wanted.format == config::log_format::text)
        append_text(text_, record);
    else
        append_json(text_, record);
    if (text_.size() >= block_size) hand_over_whole();
}

void access_log::channel::flush() {
    if (text_.size() >= block_size)
        hand_over_whole();
    else if (!text_.empty())
        hand_over(0);
}

void access_log::channel::hand_over_whole() {
    const auto most = log_.options_.max_pending;
    full_ = !hand_over(most > text_.size() ? most - text_.size() : 0);
}

bool access_log::channel::hand_over(std::size_t most_pending) {
    {
        const std::lock_guard lock(log_.mutex_);
        if (pending_ > most_pending) return false;
        pending_ += text_.size();
        log_.handed_.push_back({std::move(text_), this});
        text_ = std::exchange(spare_, {});
    }
    log_.wake_.notify_one();
    text_.reserve(block_room);
    return true;
}

} // namespace scoregate::telemetry
