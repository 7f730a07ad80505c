// (d) Waiting for room: credit word, awaited, sequence (a futex), the baton (src/dispatch/room.h, src/engine/room.c, pair(room), pair(room-sequence)).
// Threads: 0 gives slots back, one by one; 1, 2 sleepers.  A lost wake-up is a deadlock.
//  S=1 two slots come back; each sleeper takes one
//  S=2 one slot comes back; a sleeper that is told of room does not take it: the other one must hear of it
//  S=3 one slot comes back; sleeper 1 may time out (its futex wait ends by itself, now or never, and it leaves): 2 must get it
//  V=0 the code                                                              PASS
//  V=1 the give-back's look may pass its RMW (acq_rel and relaxed)           FAIL
//  V=2 the announcement is acq_rel, and the second look acquire              FAIL
//  V=3 no baton                                                              FAIL (S=2)
//  V=4 the time is looked at before the room: a wake is eaten                FAIL (S=3)
//  V=5 the number is taken after the second look                             FAIL
//  V=6 the sequence is not changed by a wake                                 FAIL
#include <relacy/relacy.hpp>
using namespace rl;
#ifndef V
#define V 0
#endif
#ifndef S
#define S 1
#endif
#ifndef BOUND
#define BOUND 4
#endif
//@ src/dispatch/room.h: return sqcq__load_seq(&room->awaited);
//@ src/dispatch/room.h: sqcq__add_seq(&room->awaited, SQCQ__ROOM_SLEEPER);
//@ src/dispatch/room.h: return sqcq__load_acquire(&room->sequence);
//@ src/dispatch/room.c: sqcq__add_acq_rel(&room->sequence, 1);
//@ src/dispatch/room.c: uint32_t woken = sqcq__futex_wake(&room->sequence, count);
//@ src/dispatch/room.c: sqcq__futex_wait(&room->sequence, prepared, deadline_ns);
//@ src/dispatch/room.c: uint64_t before = sqcq__sub_seq(&room->awaited, SQCQ__ROOM_SLEEPER);
//@ src/dispatch/room.c: if (found && sqcq__room_sleepers(before) > 1)
//@ src/dispatch/room.c: wake_sleepers(rooms, room, 1);
//@ src/mpsc/credit.h: uint64_t before = sqcq__sub_seq(&credit->word, n);
//@ src/engine/consume.c: sqcq__credit_give(&channel->credit, n);
//@ src/engine/consume.c: if (sqcq__room_awaited(&channel->room) != 0)
//@ src/engine/room.c: uint64_t word = sqcq__load_seq(&channel->credit.word);
//@ src/engine/room.c: uint32_t prepared = sqcq__room_prepare(room);
//@ src/engine/room.c: found = look(engine, bound, id);
//@ src/engine/room.c: if (deadline >= 0 && sqcq__now() >= deadline) {
//@ src/engine/room.c: sqcq__room_sleep(&engine->rooms, room, prepared, deadline);
struct T : test_suite<T, 3> {
  atomic<int> taken, awaited, sequence; int sleeping, grants;
  rl::mutex m; rl::condition_variable_any c;
  void before(){ taken($)=S==1?2:1; awaited($)=0; sequence($)=0; sleeping=0; grants=0; }
  static const int capacity = S==1?2:1;
  // FUTEX_WAKE of one: as many as sleep are granted a wake, one each; who is granted none sleeps on.
  void futex_wake_one(){ m.lock($); if(grants<sleeping) grants++; c.notify_all($); m.unlock($); }
  // false: by its time.
  bool futex_wait(int e, bool may_time_out){
    m.lock($);
    if(sequence($).load(mo_relaxed)!=e){ m.unlock($); return true; }
    if(may_time_out && rl::rand(2)==0){ m.unlock($); return false; } // before anybody came
    sleeping++;
    while(grants==0) c.wait(m,$);
    grants--; sleeping--;
    m.unlock($);
    return true; }
  void wake_one(){
#if V!=6
    sequence($).fetch_add(1,mo_acq_rel);
#endif
    futex_wake_one(); }
  bool room(){ return taken($).load(V==2?mo_acquire:mo_seq_cst)<capacity; }
  void give(){
    taken($).fetch_sub(1,V==1?mo_acq_rel:mo_seq_cst);
    if(awaited($).load(V==1?mo_relaxed:mo_seq_cst)!=0) wake_one(); }
  bool take(){
    int t=taken($).load(mo_acquire);
    while(t<capacity) if(taken($).compare_exchange_strong(t,t+1,mo_acq_rel,mo_acquire)) return true;
    return false; }
  // true: there was room
  bool wait_for_room(bool may_time_out){
    awaited($).fetch_add(1,V==2?mo_acq_rel:mo_seq_cst);
    bool found, in_time=true;
    for(;;){
#if V!=5
      int p=sequence($).load(mo_acquire);
#endif
#if V==4
      if(!in_time){ found=false; break; }
#endif
      found=room();
      if(found || !in_time) break;
#if V==5
      int p=sequence($).load(mo_acquire);
#endif
      in_time=futex_wait(p,may_time_out);
      if(may_time_out && rl::rand(2)==0) in_time=false; // woken, and its time has passed as well
    }
    int before=awaited($).fetch_sub(1,mo_seq_cst);
#if V!=3
    if(found && before>1) wake_one();
#endif
    return found; }
  void thread(unsigned i){
    if(i==0){ for(int n=0;n<capacity;n++) give(); return; }
    if(S==2){ if(!room()) wait_for_room(false); return; }
    for(;;){ if(take()){ if(S==3) give(); return; } if(!wait_for_room(S==3 && i==1)) return; } }
};
int main(){ test_params p; p.search_type=RAND?random_scheduler_type:sched_bound; p.context_bound=BOUND; p.iteration_count=RAND?RAND:100000000; p.execution_depth_limit=4000; bool r=simulate<T>(p); printf("room V=%d S=%d BOUND=%d RAND=%d: %s iters=%u\n",V,S,BOUND,RAND,r?"PASS":"FAIL",(unsigned)p.stop_iteration); return !r; }
