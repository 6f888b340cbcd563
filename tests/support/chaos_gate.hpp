// A TCP proxy in front of a replica that breaks one thing at one moment, on command. It watches the HTTP that goes
// through to know which phase a connection is in. A test arms a breakage; the first connection to get there is held,
// `reached()` returns, and `strike()` lets it happen: whatever has to be elsewhere before (the first half of a reply
// at the client) can be awaited in between, so that nothing depends on timing. One breakage at a time, each once;
// `heal()` ends what it left behind. One thread of its own, joined by the destructor; commands come from the test's.
#pragma once

#include "support/wire.hpp"

#include <cstdint>
#include <functional>
#include <list>
#include <memory>
#include <optional>
#include <string>
#include <thread>

namespace scoregate::tests {

class chaos_gate {
public:
    // connect: the proxy has its connection, and shows that by its first bytes; the replica has none yet.
    enum class phase : std::uint8_t { connect, request_head, request_body, reply_head, reply_body, idle };
    enum class act : std::uint8_t {
        delay,      // goes on only when struck
        slice,      // from here on one byte at a time
        corrupt,    // the next `corrupted` bytes flip their highest bit; connect, idle: `unasked` is sent to the proxy
        reset,      // RST to the proxy
        hang_up,    // FIN to the proxy; what it still sends is read and dropped
        black_hole, // swallowed in both directions, and kept open; connect: no connection is taken, nor refused
        refuse,     // connect, idle: nothing listens any more, and what is open is closed
    };
    struct breakage {
        act what;
        phase where;
        std::size_t after = 10; // bytes of that head or body that have passed
    };
    static constexpr std::size_t corrupted = 4;
    static constexpr std::string_view unasked = "nobody has asked\r\n\r\n";

    // `behind` is the replica's port on 127.0.0.1.
    explicit chaos_gate(std::uint16_t behind);
    ~chaos_gate();
    chaos_gate(const chaos_gate&) = delete;
    chaos_gate& operator=(const chaos_gate&) = delete;

    std::uint16_t port() const { return port_; }

    void arm(breakage);
    // Waits until a connection is where the breakage is to happen. At once for what needs none.
    void reached() const;
    // Returns once it has happened; after reached().
    void strike();
    // Listens again, passes everything on again, and closes the connections that were broken.
    void heal();

private:
    enum class part : std::uint8_t { between, head, body };

    // Which part of a message the next byte belongs to. Knows lengths, chunks, and replies without a body by status;
    // nothing of HEAD.
    class tracker {
    public:
        // What the next byte would belong to: a head begins with it if the last message has ended.
        part next() const { return at_ == part::between ? part::head : at_; }
        bool between() const { return at_ == part::between; }
        std::size_t passed() const { return passed_; }     // of this part
        std::size_t messages() const { return messages_; } // that have ended, interim replies left out
        void pass(char byte);

    private:
        void end_head();
        void end_line();
        void end_message();

        part at_ = part::between;
        std::size_t passed_ = 0, messages_ = 0, left_ = 0;
        bool chunked_ = false, last_chunk_ = false, endless_ = false;
        std::string text_; // the head, or a line of chunk framing
    };

    struct flow {
        int from = -1, to = -1;
        std::string incoming{}, outgoing{}; // not yet tracked; about to be sent
        tracker at{};
        std::size_t to_corrupt = 0;
        bool ended = false, shut = false; // no more comes; and that has been passed on
        bool sliced = false;
    };

    struct link {
        flow up, down; // proxy to replica, and back
        bool held = false, swallowing = false, broken = false;
        bool idle() const;
    };

    void run();
    // Runs `command` on the gate's thread, and returns when it has.
    void inside(const std::function<void()>& command);
    void listen();
    void accept();
    bool connect_to_replica(link&);
    void move(link&);                    // as much as goes without waiting
    void pass_on(link&, flow&, bool up); // from incoming to outgoing
    bool at_breakage(const flow&, bool up) const;
    static bool needs_none(const breakage&); // no connection
    void note_reached(link*);
    void look_for_idle();
    void carry_out(link*);
    void fill_backlog();
    static bool receive(flow&); // false: reset
    static bool send(flow&);
    static bool finished(const link&);
    static void close(link&);

    std::uint16_t behind_, port_ = 0;
    int reserved_ = -1; // bound and never listening: nobody else gets the port while nothing listens
    int listening_ = -1, wake_ = -1;
    std::list<link> links_;
    std::vector<int> fillers_; // of a backlog that takes no more
    std::optional<breakage> armed_;
    link* target_ = nullptr; // held where armed_ is to happen

    mutable std::mutex mutex_;
    mutable std::condition_variable changed_;
    const std::function<void()>* command_ = nullptr;
    bool reached_ = false, stopping_ = false;
    std::thread thread_;
};

} // namespace scoregate::tests
