// The queue of Boost.Interprocess behind functions that Rust can call. Exceptions end here, as null or negative results.

#include <boost/interprocess/ipc/message_queue.hpp>

using boost::interprocess::create_only;
using boost::interprocess::message_queue;

extern "C" {

message_queue *compare_boost_create(const char *name, std::size_t slots, std::size_t bytes) noexcept {
    try {
        return new message_queue(create_only, name, slots, bytes);
    } catch (...) {
        return nullptr;
    }
}

bool compare_boost_remove(const char *name) noexcept {
    return message_queue::remove(name);
}

void compare_boost_close(message_queue *queue) noexcept {
    delete queue;
}

int compare_boost_send(message_queue *queue, const void *from, std::size_t bytes) noexcept {
    try {
        queue->send(from, bytes, 0);
        return 0;
    } catch (...) {
        return -1;
    }
}

long compare_boost_receive(message_queue *queue, void *to, std::size_t room) noexcept {
    try {
        message_queue::size_type bytes = 0;
        unsigned int priority = 0;
        queue->receive(to, room, bytes, priority);
        return static_cast<long>(bytes);
    } catch (...) {
        return -1;
    }
}
}
