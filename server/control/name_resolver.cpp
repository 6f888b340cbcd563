#include "control/name_resolver.hpp"

#include "control/dns_message.hpp"

#include <boost/asio/posix/basic_stream_descriptor.hpp>

#include <ares.h>
#include <ares_nameser.h>

#include <algorithm>
#include <cstring>
#include <map>
#include <netinet/in.h>
#include <sys/time.h>
#include <utility>

namespace scoregate::control {

namespace asio = boost::asio;

namespace {

// Of each server; each further round takes twice as long. c-ares begins each question, and each step through the search
// domains, at the first server: one that is dead costs every step `first_try`. Six steps (Kubernetes: three domains, up
// to two of the machine's, the name itself) make 4.2 s, within longest_look_up. A single server that is slow has
// 0.7 + 1.4 + 2.8 s = 4.9 s for its answer, as one to an earlier round counts as well.
constexpr std::chrono::milliseconds first_try{700};
constexpr int tries = 3;

struct ares_data_free {
    void operator()(ares_addrinfo* of) const { ares_freeaddrinfo(of); }
};

name_answer::kind kind_of(int status) {
    if (status == ARES_SUCCESS) return name_answer::kind::found;
    return status == ARES_ENOTFOUND || status == ARES_ENODATA ? name_answer::kind::none : name_answer::kind::failed;
}

std::string text_of(int status) {
    // c-ares has one message for servers that refuse, that fail and that are not there.
    if (status == ARES_ECONNREFUSED) return "no DNS server gives an answer";
    return ares_strerror(status);
}

std::optional<asio::ip::address> address_of(const sockaddr* from) {
    if (from->sa_family == AF_INET) {
        sockaddr_in v4{};
        std::memcpy(&v4, from, sizeof v4);
        return asio::ip::address_v4(ntohl(v4.sin_addr.s_addr));
    }
    if (from->sa_family != AF_INET6) return std::nullopt;
    sockaddr_in6 v6{};
    std::memcpy(&v6, from, sizeof v6);
    asio::ip::address_v6::bytes_type bytes;
    std::memcpy(bytes.data(), &v6.sin6_addr, bytes.size());
    return asio::ip::address_v6(bytes, v6.sin6_scope_id);
}

// What c-ares answers into, and what the coroutine that asked waits on. Whichever of them ends first leaves it to the
// other.
struct look_up {
    explicit look_up(base::executor where) : done(where, name_resolver::longest_look_up) {}

    void answered() {
        if (--open == 0) done.cancel();
    }

    base::tick_timer done;
    unsigned open = 0; // questions
    struct part {
        int status = ARES_ETIMEOUT;
        std::vector<asio::ip::address> addresses;
        std::vector<service_target> targets;
        std::optional<std::chrono::seconds> ttl;
    };
    part first, second; // A and AAAA, or SRV alone
};

// One of its questions, owned by c-ares until it calls back, which it does exactly once.
struct question {
    std::shared_ptr<look_up> of;
    look_up::part& into;
};

void take_addresses(void* argument, int status, int, ares_addrinfo* reply) {
    const std::unique_ptr<question> asked(static_cast<question*>(argument));
    const std::unique_ptr<ares_addrinfo, ares_data_free> found(reply);
    auto& into = asked->into;
    into.status = status;
    const auto heed = [&](int ttl) {
        const std::chrono::seconds own(std::max(ttl, 0));
        into.ttl = std::min(into.ttl.value_or(own), own);
    };
    if (status == ARES_SUCCESS && found) {
        for (const auto* each = found->nodes; each != nullptr; each = each->ai_next) {
            if (const auto address = address_of(each->ai_addr)) into.addresses.push_back(*address);
            heed(each->ai_ttl);
        }
        for (const auto* each = found->cnames; each != nullptr; each = each->next) heed(each->ttl);
    }
    asked->of->answered();
}

void take_targets(void* argument, int status, int, unsigned char* message, int size) {
    const std::unique_ptr<question> asked(static_cast<question*>(argument));
    auto& into = asked->into;
    into.status = status;
    if (status == ARES_SUCCESS) {
        auto answer = read_srv_answer({message, static_cast<std::size_t>(size)});
        into.status = answer.status;
        into.targets = std::move(answer.targets);
        into.ttl = answer.ttl;
    }
    asked->of->answered();
}

} // namespace

// One c-ares channel and its place in the loop. Its handlers hold it weakly, its look-ups strongly.
class name_resolver::channel : public std::enable_shared_from_this<channel> {
public:
    channel(base::executor where, const std::vector<config::endpoint>& servers) : where_(where), timer_(where) {
        static const int library = ares_library_init(ARES_LIB_INIT_ALL);
        ares_options options{};
        options.timeout = static_cast<int>(first_try.count());
        options.tries = tries;
        options.sock_state_cb = [](void* self, ares_socket_t socket, int readable, int writable) {
            static_cast<channel*>(self)->watch(socket, readable != 0, writable != 0);
        };
        options.sock_state_cb_data = this;
        status_ =
            library != ARES_SUCCESS
                ? library
                : ares_init_options(&handle_, &options, ARES_OPT_TIMEOUTMS | ARES_OPT_TRIES | ARES_OPT_SOCK_STATE_CB);
        if (status_ != ARES_SUCCESS) {
            handle_ = nullptr;
            return;
        }
        std::string only_files = "f";
        ares_options of_files{};
        of_files.lookups = only_files.data();
        if (ares_init_options(&files_, &of_files, ARES_OPT_LOOKUPS) != ARES_SUCCESS) files_ = nullptr;
        std::string list;
        for (const auto& each : servers) {
            if (!list.empty()) list += ',';
            list += each.host.find(':') != std::string::npos ? '[' + each.host + ']' : each.host;
            list += ':' + std::to_string(each.port);
        }
        if (!list.empty()) status_ = ares_set_servers_ports_csv(handle_, list.c_str());
    }
    ~channel() { close(); }
    channel(const channel&) = delete;
    channel& operator=(const channel&) = delete;

    // Answers what is still asked, with a failure.
    void close() {
        if (handle_ != nullptr) ares_destroy(std::exchange(handle_, nullptr));
        if (files_ != nullptr) ares_destroy(std::exchange(files_, nullptr));
        watched_.clear();
        timer_.cancel();
        status_ = ARES_EDESTRUCTION;
    }

    // Both families of a name that is in the hosts file, at once. It must not be left to the questions below: a family
    // that the file does not have would be asked of DNS, which may not answer.
    bool look_into_hosts_file(const std::shared_ptr<look_up>& of, look_up::part& into, const std::string& host) {
        if (files_ == nullptr) return false;
        ++of->open;
        ares_addrinfo_hints hints{};
        hints.ai_family = AF_UNSPEC;
        hints.ai_socktype = SOCK_STREAM;
        ares_getaddrinfo(files_, host.c_str(), nullptr, &hints, take_addresses, new question{of, into});
        return of->open == 0 && !into.addresses.empty();
    }

    void ask_addresses(const std::shared_ptr<look_up>& of, look_up::part& into, const std::string& host, int family) {
        if (!ready(into)) return;
        ++of->open;
        into.status = ARES_ETIMEOUT; // until it is answered
        ares_addrinfo_hints hints{};
        hints.ai_family = family;
        hints.ai_socktype = SOCK_STREAM; // once, not once for each type
        ares_getaddrinfo(handle_, host.c_str(), nullptr, &hints, take_addresses, new question{of, into});
        schedule();
    }
    void ask_targets(const std::shared_ptr<look_up>& of, look_up::part& into, const std::string& name) {
        if (!ready(into)) return;
        ++of->open;
        ares_search(handle_, name.c_str(), C_IN, T_SRV, take_targets, new question{of, into});
        schedule();
    }

private:
    using descriptor = asio::posix::basic_stream_descriptor<base::executor>;
    struct watched {
        descriptor socket; // c-ares's: released, never closed
        std::uint64_t id;  // sockets that follow one another may have the same number
        bool wants_read = false, wants_write = false;
        bool reading = false, writing = false;
    };

    bool ready(look_up::part& into) const {
        if (status_ == ARES_SUCCESS) return true;
        into.status = status_;
        return false;
    }

    // c-ares tells what it waits for; nothing means that it is about to close the socket.
    void watch(ares_socket_t socket, bool readable, bool writable) {
        auto found = watched_.find(socket);
        if (!readable && !writable) {
            if (found == watched_.end()) return;
            found->second->socket.release();
            watched_.erase(found);
            return;
        }
        if (found == watched_.end()) {
            descriptor own(where_);
            base::error_code ec;
            own.assign(socket, ec);
            if (ec) return; // the look-up ends by its time
            found = watched_.emplace(socket, std::make_unique<watched>(watched{std::move(own), ++last_id_})).first;
        }
        found->second->wants_read = readable;
        found->second->wants_write = writable;
        wait(*found->second);
    }

    void wait(watched& on) {
        const auto socket = on.socket.native_handle();
        const auto then = [&](bool reads) {
            return [self = weak_from_this(), socket, id = on.id, reads](base::error_code ec) {
                if (const auto alive = self.lock(); alive && !ec) alive->process(socket, id, reads);
            };
        };
        if (on.wants_read && !std::exchange(on.reading, true)) on.socket.async_wait(descriptor::wait_read, then(true));
        if (on.wants_write && !std::exchange(on.writing, true))
            on.socket.async_wait(descriptor::wait_write, then(false));
    }

    void process(ares_socket_t socket, std::uint64_t id, bool reads) {
        const auto same = [&]() -> watched* {
            const auto found = watched_.find(socket);
            return found != watched_.end() && found->second->id == id ? found->second.get() : nullptr;
        };
        auto* on = same();
        if (on == nullptr || handle_ == nullptr) return;
        (reads ? on->reading : on->writing) = false;
        ares_process_fd(handle_, reads ? socket : ARES_SOCKET_BAD, reads ? ARES_SOCKET_BAD : socket);
        on = same();
        if (on != nullptr) wait(*on);
        schedule();
    }

    // For c-ares's own time-outs.
    void schedule() {
        timeval left{};
        if (handle_ == nullptr || ares_timeout(handle_, nullptr, &left) == nullptr) {
            timer_.cancel();
            return;
        }
        timer_.expires_after(std::chrono::seconds(left.tv_sec) + std::chrono::microseconds(left.tv_usec) +
                             std::chrono::milliseconds(1));
        timer_.async_wait([self = weak_from_this()](base::error_code ec) {
            const auto alive = self.lock();
            if (ec || !alive || alive->handle_ == nullptr) return;
            ares_process_fd(alive->handle_, ARES_SOCKET_BAD, ARES_SOCKET_BAD);
            alive->schedule();
        });
    }

    base::executor where_;
    base::tick_timer timer_;
    ares_channel handle_ = nullptr, files_ = nullptr;
    int status_ = ARES_SUCCESS; // what every look-up comes to, unless that
    std::map<ares_socket_t, std::unique_ptr<watched>> watched_;
    std::uint64_t last_id_ = 0;
};

name_resolver::name_resolver(base::executor where, const std::vector<config::endpoint>& servers)
    : where_(where), channel_(std::make_shared<channel>(where, servers)) {}

name_resolver::~name_resolver() {
    channel_->close();
    for (const auto& each : earlier_)
        if (const auto alive = each.lock()) alive->close();
}

void name_resolver::use(const std::vector<config::endpoint>& servers) {
    std::erase_if(earlier_, [](const auto& each) { return each.expired(); });
    earlier_.push_back(channel_);
    channel_ = std::make_shared<channel>(where_, servers);
}

base::task<name_answer> name_resolver::addresses(std::string host) {
    const auto asked = std::make_shared<look_up>(where_);
    const auto through = channel_; // kept while it is asked
    if (through->look_into_hosts_file(asked, asked->first, host)) {
        name_answer known{.what = name_answer::kind::found, .addresses = asked->first.addresses};
        std::stable_partition(known.addresses.begin(), known.addresses.end(),
                              [](const auto& each) { return each.is_v4(); });
        co_return known;
    }
    // Apart: with both in one question, c-ares would tell a family that got no answer from one that does not exist by
    // whichever came last.
    through->ask_addresses(asked, asked->first, host, AF_INET);
    through->ask_addresses(asked, asked->second, host, AF_INET6);
    if (asked->open != 0) co_await asked->done.async_wait(base::awaited);

    const auto &v4 = asked->first, &v6 = asked->second;
    name_answer answer;
    answer.addresses = v4.addresses;
    answer.addresses.insert(answer.addresses.end(), v6.addresses.begin(), v6.addresses.end());
    const auto of_v4 = kind_of(v4.status), of_v6 = kind_of(v6.status);
    answer.lacks_v4 = of_v4 == name_answer::kind::failed;
    answer.lacks_v6 = of_v6 == name_answer::kind::failed;
    if (!answer.addresses.empty()) {
        answer.what = name_answer::kind::found;
        answer.ttl =
            std::min(v4.ttl.value_or(std::chrono::seconds::max()), v6.ttl.value_or(std::chrono::seconds::max()));
    } else if (v4.status == ARES_ENOTFOUND || v6.status == ARES_ENOTFOUND) {
        // Whatever comes of the other question: a name that does not exist has nothing of any kind (RFC 8020).
        answer.what = name_answer::kind::none;
        answer.lacks_v4 = answer.lacks_v6 = false;
        answer.why = text_of(ARES_ENOTFOUND);
    } else if (answer.lacks_v4 && answer.lacks_v6) {
        answer.why = text_of(v4.status);
    } else {
        // There are servers that never answer a question for AAAA: what they say of A counts.
        answer.what = name_answer::kind::none;
        answer.why = text_of(answer.lacks_v4 ? v4.status : answer.lacks_v6 ? v6.status : ARES_ENODATA);
    }
    co_return answer;
}

base::task<name_answer> name_resolver::targets(std::string name) {
    const auto asked = std::make_shared<look_up>(where_);
    const auto through = channel_;
    through->ask_targets(asked, asked->first, name);
    if (asked->open != 0) co_await asked->done.async_wait(base::awaited);

    name_answer answer;
    answer.what = kind_of(asked->first.status);
    answer.targets = asked->first.targets;
    answer.ttl = asked->first.ttl.value_or(std::chrono::seconds(0));
    if (answer.what != name_answer::kind::found) answer.why = text_of(asked->first.status);
    co_return answer;
}

} // namespace scoregate::control
