// A replica on a real socket whose every connection plays a script: answers, stalls, slices, resets, lies. Each
// connection has a thread of its own, joined by the destructor; a script ends when its connection does (wire_ended).
#pragma once

#include "support/wire.hpp"

#include <atomic>
#include <cstdint>
#include <functional>
#include <list>
#include <memory>
#include <thread>

namespace scoregate::tests {

class scripted_replica {
public:
    class conversation;
    using script = std::function<void(conversation&)>;

    explicit scripted_replica(script);
    ~scripted_replica();
    scripted_replica(const scripted_replica&) = delete;
    scripted_replica& operator=(const scripted_replica&) = delete;

    std::uint16_t port() const { return port_; }
    // Connections accepted so far.
    std::size_t connections() const;
    std::size_t requests() const;
    // The request of that number, from 0, once it has come: its head, and its body where the script has read it.
    message request(std::size_t number) const;
    // Waits until that many connections have ended on the proxy's side or ours.
    void wait_for_endings(std::size_t count) const;

private:
    void accept();
    std::size_t note(message);

    script script_;
    int listening_;
    std::uint16_t port_ = 0;
    mutable std::mutex mutex_;
    mutable std::condition_variable changed_;
    std::list<std::unique_ptr<conversation>> conversations_;
    std::vector<message> requests_;
    std::size_t ended_ = 0;
    std::atomic<bool> stopping_{false};
    std::thread accepting_;
};

class scripted_replica::conversation : public inbox {
public:
    conversation(scripted_replica& of, int descriptor, std::size_t number);
    ~conversation() override;

    std::size_t number() const { return number_; } // of the connection, from 0

    // The next request's head, or the whole of it. Throws wire_ended when the proxy closes instead.
    message read_head();
    message read_request();
    void send(std::string_view bytes); // throws wire_ended
    void send_sliced(std::string_view bytes);
    // Reads and drops until the proxy closes.
    void wait_for_end();
    void shut();  // FIN; can still read
    void close(); // FIN, or RST if something is unread
    void reset(); // RST

private:
    friend scripted_replica;
    bool receive() override;
    void interrupt();

    scripted_replica& of_;
    std::size_t number_;
    std::mutex mutex_; // descriptor_
    int descriptor_;
    std::thread thread_;
};

// Answers every request with these bytes.
scripted_replica::script always(std::string reply);
// The same, with `body`, once `go` has happened.
scripted_replica::script answer_after(const event& go, std::string body = "{}");
// Answers every request with its body.
void echo(scripted_replica::conversation&);
// "HTTP/1.1 200 OK" with a Content-Length.
std::string ok(std::string_view body, std::string_view fields = {});

} // namespace scoregate::tests
