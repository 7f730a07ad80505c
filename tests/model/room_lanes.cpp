// Waiting for room in the lanes (src/engine/room.c, turn.c; docs/threading.md "Room in the lanes"): the I/O thread gives a lane back by a plain store and looks at nobody, so whoever
//  waits posts a control bit once it is announced. One shared lane of one slot, full at first; W producers, each puts one request of its own in when there is room. The I/O thread's own
//  sleep is sleeper.cpp's: here an event that a post sets and that is never lost. A lost wake-up is a deadlock.
//  V=0 the code                                                                    PASS
//  V=1 the turn that takes the bit wakes only where it has drained something       FAIL (the turn before has drained, with its bits taken before the post)
//  V=2 posted, then announced                                                      FAIL
//  V=3 only the turn that takes the bit wakes, none after it                       FAIL (W=2)
//  Not here: more than one lane, own lanes, notices, the baton (room.cpp), the sleep with a time limit while all lanes are held.
#include <relacy/relacy.hpp>
using namespace rl;
#ifndef V
#define V 0
#endif
#ifndef W
#define W 1
#endif
#ifndef BOUND
#define BOUND 3
#endif
//@ src/engine/room.c: sqcq__control_post(&engine->control, SQCQ__CONTROL_ROOM);
//@ src/engine/room.c: bool awaited = sqcq__room_awaited(&engine->lanes_room) != 0;
//@ src/engine/room.c: if (awaited && (engine->io.drained > 0 || asked)) {
//@ src/engine/room.c: uint32_t free = lanes_free(engine);
//@ src/engine/room.c: if (engine->io.drained > 0 || free > 0)
//@ src/engine/room.c: sqcq__room_given(&engine->rooms, &engine->lanes_room, 1, free,
//@ src/engine/room.c: engine->io.lanes_awaited = awaited;
//@ src/engine/room.c: sqcq__room_announce(room);
//@ src/engine/room.c: ask_for(engine, bound);
//@ src/engine/room.c: uint32_t prepared = sqcq__room_prepare(room);
//@ src/engine/room.c: found = look(engine, bound, id);
//@ src/engine/room.c: sqcq__room_sleep(&engine->rooms, room, prepared, deadline);
//@ src/engine/room.c: sqcq__room_leave(&engine->rooms, room, found > 0);
//@ src/engine/turn.c: uint32_t bits = sqcq__control_take(&engine->control);
//@ src/engine/turn.c: sqcq__turn_drain(engine);
//@ src/engine/turn.c: if (io->lanes_awaited || (bits & SQCQ__CONTROL_ROOM) != 0)
//@ src/engine/turn.c: sqcq__lanes_room_given(engine, (bits & SQCQ__CONTROL_ROOM) != 0);
//@ src/engine/control.h: sqcq__or_seq(&control->bits, bit);
//@ src/engine/control.h: return sqcq__swap_seq(&control->bits, 0);
struct T : test_suite<T, W+1> {
  atomic<int> control, work, awaited, sequence, head, tail, claim; int first, drained, sleeping, grants, event, left; bool lanes_awaited;
  rl::mutex m; rl::condition_variable_any c;
  void before(){ control($)=0; work($)=1; awaited($)=0; sequence($)=0; head($)=0; tail($)=1; claim($)=0; first=drained=sleeping=grants=event=0; left=W; lanes_awaited=false; }
  void kick(){ m.lock($); event=1; c.notify_all($); m.unlock($); }
  void wake_one(){ sequence($).fetch_add(1,mo_acq_rel); m.lock($); if(grants<sleeping) grants++; c.notify_all($); m.unlock($); }
  void futex_wait(int e){ m.lock($); if(sequence($).load(mo_relaxed)==e){ sleeping++; while(grants==0) c.wait(m,$); grants--; sleeping--; } m.unlock($); }
  int free_slots(){ int h=head($).load(mo_acquire); return 1-(tail($).load(mo_acquire)-h); }
  bool put(){
    linear_backoff b; // await_claims()
    for(int z=0; !claim($).compare_exchange_strong(z,1,mo_acquire,mo_relaxed); z=0) b.yield($);
    int t=tail($).load(mo_relaxed); bool room=t-head($).load(mo_acquire)<1;
    if(room) tail($).store(t+1,mo_release);
    claim($).store(0,mo_release);
    if(room){ work($).fetch_or(1,mo_seq_cst); kick(); }
    return room; }
  void wait_for_room(){
    if(V==2){ control($).fetch_or(1,mo_seq_cst); kick(); }
    awaited($).fetch_add(1,mo_seq_cst);
    if(V!=2){ control($).fetch_or(1,mo_seq_cst); kick(); }
    for(;;){ int p=sequence($).load(mo_acquire);
      if(free_slots()>0) break;
      futex_wait(p); }
    if(awaited($).fetch_sub(1,mo_seq_cst)>1) wake_one(); }
  void drain(){ drained=0; if(work($).load(mo_relaxed)==0) return; work($).exchange(0,mo_seq_cst);
    int t=tail($).load(mo_acquire); drained=t-first; first=t; if(drained) head($).store(first,mo_release); }
  void turn(){
    int bits=control($).load(mo_relaxed)==0?0:control($).exchange(0,mo_seq_cst);
    drain();
    if(!lanes_awaited && !bits) return;
    bool waits=awaited($).load(mo_seq_cst)!=0;
    if(waits && (drained || (V!=1 && bits))){ int f=free_slots(); if(drained || f>0) wake_one(); }
    lanes_awaited=V!=3 && waits; }
  void thread(unsigned i){
    if(i<W){ while(!put()) wait_for_room(); m.lock($); left--; event=1; c.notify_all($); m.unlock($); return; }
    for(;;){ turn();
      m.lock($); bool over=left==0; if(!over && control($).load(mo_seq_cst)==0 && work($).load(mo_seq_cst)==0){ while(event==0) c.wait(m,$); event=0; } m.unlock($);
      if(over) return; } }
};
int main(){ test_params p; p.search_type=RAND?random_scheduler_type:sched_bound; p.context_bound=BOUND; p.iteration_count=RAND?RAND:100000000; p.execution_depth_limit=4000; bool r=simulate<T>(p); printf("room_lanes V=%d W=%d BOUND=%d RAND=%d: %s iters=%u\n",V,W,BOUND,RAND,r?"PASS":"FAIL",(unsigned)p.stop_iteration); return !r; }
